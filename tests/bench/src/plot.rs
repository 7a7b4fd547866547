//! An answer as a picture: one bar a line, its spread as a thin line in it. The figures themselves are in the table
//! and in the JSON; a picture is for seeing at once which line is out of place.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;

use crate::{
    answer::{Answer, Unit},
    table::short,
    trial::{median, spread},
};

const WIDTH: u32 = 900;
const BAR: u32 = 26;
/// Where bars begin, and how much room is left for the figure behind the longest.
const LEFT: i32 = 380;
const RIGHT: i32 = 130;
const INK: RGBColor = RGBColor(40, 44, 52);
const OURS: RGBColor = RGBColor(46, 111, 183);
const SPREAD: RGBColor = RGBColor(200, 120, 30);

/// Writes a picture for each unit that the answer has, as `question-unit.svg`; gives their names.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn write(folder: &Path, answer: &Answer) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut units: Vec<Unit> = answer.lines.iter().map(|line| line.unit).collect();
    units.dedup();
    for unit in units {
        let word: String =
            unit.word().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let file = folder.join(format!("{}-{}.svg", answer.question, word.trim_matches('-')));
        draw(&file, answer, unit)
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| file.display().to_string())?;
    }
    Ok(())
}

fn draw(file: &Path, answer: &Answer, unit: Unit) -> Result<(), Box<dyn std::error::Error>> {
    let lines: Vec<_> = answer.lines.iter().filter(|line| line.unit == unit).collect();
    let height = BAR * u32::try_from(lines.len())? + 50;
    let root = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font().color(&INK);
    root.draw_text(&format!("{}, {}", answer.question, unit.word()), &text(17), (12, 12))?;
    let most = lines.iter().map(|line| spread(&line.measures).1).fold(f64::MIN_POSITIVE, f64::max);
    let room = f64::from(i32::try_from(WIDTH)? - LEFT - RIGHT);
    #[expect(clippy::cast_possible_truncation, reason = "at most the picture's width")]
    let x = |value: f64| LEFT + (value / most * room) as i32;
    for (row, line) in (0_i32..).zip(&lines) {
        let (top, bottom) = (42 + row * i32::try_from(BAR)?, 60 + row * i32::try_from(BAR)?);
        let (least, greatest) = spread(&line.measures);
        let middle = median(&line.measures);
        root.draw_text(&line.what, &text(13), (12, top + 2))?;
        root.draw(&Rectangle::new([(LEFT, top), (x(middle), bottom)], OURS.filled()))?;
        let height = i32::midpoint(top, bottom);
        root.draw(&PathElement::new([(x(least), height), (x(greatest), height)], SPREAD.stroke_width(2)))?;
        let ratio = line.ratio().map(|ratio| format!(" ({ratio:.2} x)")).unwrap_or_default();
        root.draw_text(&format!("{}{ratio}", short(middle)), &text(13), (x(greatest) + 8, top + 2))?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Line;

    #[test]
    fn each_unit_has_its_picture_with_every_line_in_it() {
        let lines = vec![
            Line::new("ours <1>", Unit::Millis, vec![2.0, 4.0, 3.0]),
            Line::new("theirs", Unit::Megabytes, vec![1000.0]),
        ];
        let folder = reconverge_servers::scratch("bench-plot").unwrap();
        write(folder.path(), &Answer { question: "it", asks: String::new(), lines }).unwrap();
        let picture = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let ours = picture("it-ms.svg");
        assert!(ours.contains("ours &lt;1&gt;") && ours.contains("3.00") && !ours.contains("theirs"));
        assert!(picture("it-MB.svg").contains("1 000"));
    }
}
