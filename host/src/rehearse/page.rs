//! A rehearsal as one HTML file for a manager: no script, no font, nothing loaded from anywhere; plots are drawn as SVG.

use std::fmt::Write as _;

use serde_json::Value;

use super::report::{Differing, Harm, Report};

/// Rows that are shown side by side; the others are counted.
const ROWS_MAX: usize = 200;
/// A plot's size.
const PLOT: (usize, usize) = (760, 180);
/// A colour for each source.
const COLOURS: [&str; 6] = ["#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#4a5568"];

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1a202c}\
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #e2e8f0;vertical-align:top}th{font-weight:600}\
.n{text-align:right}.big{font-size:2.2rem;font-weight:700}.cards{display:flex;gap:2.5rem;flex-wrap:wrap}\
.bad{color:#c53030}.good{color:#2f855a}mark{background:#fefcbf}code{font-size:.9em;word-break:break-word}\
svg text{font:11px system-ui,sans-serif;fill:#4a5568}.note{color:#4a5568}";

/// The page.
#[must_use]
pub fn html(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Rehearsal of {name}</title><style>{STYLE}</style>\
         <h1>Rehearsal of {name}</h1><p>{messages} recorded messages of {sources} were merged {orders} times, each time in \
         another order that keeps every source's own, into a scratch database. The real one was not touched.</p>",
        name = escaped(&report.pipeline),
        messages = report.messages,
        sources = escaped(&report.sources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(" and ")),
        orders = report.orders,
    );
    cards(report, &mut page);
    page.push_str("<h2>When it happened</h2>");
    timeline(report, &mut page);
    harm(report, &mut page);
    page.push_str("<h2>Conflicts, by kind and how they ended</h2>");
    conflicts(report, &mut page);
    diverging(report, &mut page);
    if let Some(against) = &report.against {
        let title = format!("What {} would have decided otherwise", against.plugin);
        side_by_side(&title, &against.plugin, &against.rows, &mut page);
    }
    rest(report, &mut page);
    page.push_str("</html>\n");
    page
}

fn cards(report: &Report, page: &mut String) {
    let card = |number: String, class: &str, words: &str| {
        format!("<div><div class=\"big {class}\">{number}</div>{words}</div>")
    };
    let class = |count: usize| if count == 0 { "good" } else { "bad" };
    let cards = [
        card(
            report.saved.len().to_string(),
            class(report.saved.len()),
            "rows that last-writer-wins would have destroyed",
        ),
        card(
            report.diverging.len().to_string(),
            class(report.diverging.len()),
            "keys that depend on the order",
        ),
        card(report.parked.len().to_string(), class(report.parked.len()), "rows that wait for ever"),
        card(format!("{:.1} s", report.catch_up_seconds), "", "to catch up, on this machine"),
    ];
    page.push_str(&format!("<div class=\"cards\">{}</div>", cards.concat()));
}

/// Changes of each source over commit time as stacked bars, conflicts as a line.
fn timeline(report: &Report, page: &mut String) {
    let (width, height) = PLOT;
    let most = report
        .timeline
        .iter()
        .map(|b| b.changes.iter().sum::<u64>().max(b.conflicts))
        .max()
        .unwrap_or(0)
        .max(1);
    let bar = width / report.timeline.len().max(1);
    let tall = |count: u64| usize::try_from(count.saturating_mul(height as u64) / most).unwrap_or(height);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {}\" role=\"img\" aria-label=\"changes over time\">",
        height + 40
    );
    let mut line = String::new();
    for (nth, bucket) in report.timeline.iter().enumerate() {
        let mut top = height;
        for (source, &count) in bucket.changes.iter().enumerate() {
            top -= tall(count).min(top);
            let colour = COLOURS[source % COLOURS.len()];
            let _ = write!(
                svg,
                "<rect x=\"{}\" y=\"{top}\" width=\"{}\" height=\"{}\" fill=\"{colour}\"/>",
                nth * bar,
                bar.saturating_sub(1).max(1),
                tall(count)
            );
        }
        let _ = write!(line, "{},{} ", nth * bar + bar / 2, height - tall(bucket.conflicts).min(height));
    }
    let _ = write!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1a202c\" stroke-width=\"1.5\"/>",
        line.trim_end()
    );
    let ends = [report.timeline.first(), report.timeline.last()].map(|b| b.map_or("", |b| b.from.as_str()));
    let _ = write!(
        svg,
        "<text x=\"0\" y=\"{0}\">{1}</text><text x=\"{width}\" y=\"{0}\" text-anchor=\"end\">{2}</text></svg>",
        height + 16,
        escaped(ends[0]),
        escaped(ends[1])
    );
    page.push_str(&svg);
    let legend = report.sources.iter().enumerate().map(|(nth, source)| {
        format!(
            "<span style=\"color:{}\">&#9632;</span> {} ({} changes)",
            COLOURS[nth % COLOURS.len()],
            escaped(&source.name),
            source.changes
        )
    });
    let legend = legend.collect::<Vec<_>>().join(" &nbsp; ");
    page.push_str(&format!(
        "<p class=\"note\">{legend} &nbsp; &#9473; conflicts; the highest bar is {most}</p>"
    ));
}

fn bars(rows: &[(String, u64)], page: &mut String) {
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let height = rows.len() * 22 + 4;
    let mut svg = format!("<svg viewBox=\"0 0 {} {height}\" role=\"img\">", PLOT.0);
    for (nth, (name, count)) in rows.iter().enumerate() {
        let wide = usize::try_from(count.saturating_mul(380) / most).unwrap_or(380).max(1);
        let y = nth * 22;
        let _ = write!(
            svg,
            "<text x=\"0\" y=\"{}\">{}</text><rect x=\"310\" y=\"{}\" width=\"{wide}\" height=\"14\" fill=\"#2b6cb0\"/><text x=\"{}\" y=\"{}\">{count}</text>",
            y + 14,
            escaped(name),
            y + 3,
            316 + wide,
            y + 14
        );
    }
    svg.push_str("</svg>");
    page.push_str(&svg);
}

fn harm(report: &Report, page: &mut String) {
    let counts = Harm::ALL.map(|harm| (harm.word().to_owned(), Report::count(&report.saved, harm) as u64));
    side_by_side("What last-writer-wins would have destroyed", "last-writer-wins", &report.saved, page);
    if !report.saved.is_empty() {
        bars(&counts, page);
    }
}

fn conflicts(report: &Report, page: &mut String) {
    let name = |c: &super::report::Conflicts| format!("{} {}: {}", c.table, c.kind, c.outcome);
    let mut rows: Vec<(String, u64)> = report.conflicts.iter().map(|c| (name(c), c.count)).collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    if rows.is_empty() {
        page.push_str("<p>None.</p>");
    } else {
        bars(&rows, page);
    }
}

fn side_by_side(title: &str, other: &str, rows: &[Differing], page: &mut String) {
    page.push_str(&format!("<h2>{}: {} rows</h2>", escaped(title), rows.len()));
    if rows.is_empty() {
        return page.push_str("<p>None.</p>");
    }
    page.push_str(&format!(
        "<table><tr><th>row<th>what would happen<th>your plugin<th>{}</tr>",
        escaped(other)
    ));
    for row in rows.iter().take(ROWS_MAX) {
        page.push_str(&format!(
            "<tr><td>{} <code>{}</code><td>{}<td>{}<td>{}</tr>",
            escaped(&row.table),
            escaped(&row.key.to_string()),
            row.harm.word(),
            cells(row.plugin.as_ref(), row.other.as_ref()),
            cells(row.other.as_ref(), row.plugin.as_ref())
        ));
    }
    page.push_str("</table>");
    if rows.len() > ROWS_MAX {
        page.push_str(&format!("<p class=\"note\">and {} more; --json has all</p>", rows.len() - ROWS_MAX));
    }
}

/// A row's columns, those marked that differ from the other row.
fn cells(row: Option<&Value>, other: Option<&Value>) -> String {
    let Some(row) = row.and_then(Value::as_object) else { return "<em>no row</em>".to_owned() };
    let cell = |(name, value): (&String, &Value)| {
        let text = format!("{}: {}", escaped(name), escaped(&plain(value)));
        let differs = other.is_some_and(|other| other.get(name) != Some(value));
        if differs { format!("<mark>{text}</mark>") } else { text }
    };
    format!("<code>{}</code>", row.iter().map(cell).collect::<Vec<_>>().join("<br>"))
}

fn diverging(report: &Report, page: &mut String) {
    page.push_str(&format!("<h2>Keys that depend on the order: {}</h2>", report.diverging.len()));
    if report.diverging.is_empty() {
        return page.push_str("<p>None: whatever arrives first, both regions end with the same rows.</p>");
    }
    page.push_str("<table><tr><th>row<th>rule<th>smallest orders</tr>");
    for key in report.diverging.iter().take(ROWS_MAX) {
        let order = |order: &super::report::Order| {
            let row = order.row.as_ref().map_or_else(|| "no row".to_owned(), Value::to_string);
            format!("{} ends in <code>{}</code>", escaped(&order.changes.join(", ")), escaped(&row))
        };
        page.push_str(&format!(
            "<tr><td>{} <code>{}</code><td>{}<td>{}</tr>",
            escaped(&key.table),
            escaped(&key.key.to_string()),
            escaped(&key.policy),
            key.orders.iter().map(order).collect::<Vec<_>>().join("<br>")
        ));
    }
    page.push_str("</table>");
}

fn rest(report: &Report, page: &mut String) {
    page.push_str(&format!("<h2>Rows that wait for ever: {}</h2>", report.parked.len()));
    for row in report.parked.iter().take(ROWS_MAX) {
        page.push_str(&format!(
            "<p>{} <code>{}</code> waits for <code>{}</code> ({})</p>",
            escaped(&row.table),
            escaped(&row.key),
            escaped(&row.waits_for),
            escaped(&row.why)
        ));
    }
    if !report.dead.is_empty() {
        page.push_str("<h2>Changes that could not be applied</h2>");
        let name = |dead: &super::report::Dead| format!("{} {}: {}", dead.table, dead.stage, dead.code);
        bars(&report.dead.iter().map(|dead| (name(dead), dead.count)).collect::<Vec<_>>(), page);
    }
    page.push_str(&format!(
        "<p class=\"note\">Seed {}; the same seed plays the same orders.</p>",
        report.seed
    ));
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rehearse::report::{Bucket, Source};

    #[test]
    fn a_page_loads_nothing_and_shows_no_markup_of_a_row() {
        let row = Differing {
            table: "t".into(),
            key: json!({"id": 7}),
            harm: Harm::Lost,
            plugin: Some(json!({"note": "<script>alert(1)</script>"})),
            other: None,
        };
        let source = Source { name: "east".into(), changes: 3, first: String::new(), last: String::new() };
        let bucket = Bucket { from: "2026".into(), changes: vec![3], conflicts: 1 };
        let report =
            Report { saved: vec![row], sources: vec![source], timeline: vec![bucket], ..Report::default() };
        let page = html(&report);
        for part in ["<svg", "polyline", "&lt;script&gt;", "no row", "rows that last-writer-wins"] {
            assert!(page.contains(part), "lacks {part}: {page}");
        }
        for part in ["<script", "http:", "https:", "src=", "url("] {
            assert!(!page.contains(part), "has {part}");
        }
    }
}
