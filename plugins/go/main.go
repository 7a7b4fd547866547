// Workforce schedules: the greater modification_epoch wins, then the greater name of the region; what loses is archived
// for audit. A planner's edit raises the epoch, a resend or a restored backup does not.
package main

import (
	"cmp"

	"schedule-merge-go/reconverge"
)

// Shift is the contract: the host hands over these two columns of both rows, and no others.
type Shift struct {
	ModificationEpoch int64  `column:"modification_epoch"`
	RegionSource      string `column:"region_source"`
}

// decide is called for every change that meets a current row. Ties, first inserts and deletes are the host's.
func decide(incoming, current *Shift) reconverge.Verdict {
	if cmp.Or(
		cmp.Compare(incoming.ModificationEpoch, current.ModificationEpoch),
		cmp.Compare(incoming.RegionSource, current.RegionSource),
	) > 0 {
		return reconverge.TakeIncoming.ArchiveLoser()
	}
	return reconverge.KeepCurrent.Because("older modification_epoch").ArchiveLoser()
}

func init() {
	reconverge.Merge(reconverge.Plugin{Name: "schedule-merge-go", Version: "0.1.0", Extensions: `{"laws":true}`}, decide)
}

func main() {}
