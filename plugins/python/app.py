"""What `reconverge plugin build` makes a component of: the plugin, under the names of the interface."""

import plugin
import reconverge

Lifecycle, Merge = reconverge.component(plugin.plugin)
