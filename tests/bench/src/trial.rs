//! Trials: every contestant once, then every contestant once more, so that what the machine does meanwhile meets them
//! all alike. It takes numbers and knows neither units nor contestants.

use anyhow::{Context, Result};

/// One way to do a piece of work; a call does it once and returns a measure (see the question for its unit).
pub(crate) struct Contestant<'a> {
    pub(crate) name: String,
    pub(crate) run: Box<dyn FnMut() -> Result<f64> + 'a>,
}

impl<'a> Contestant<'a> {
    pub(crate) fn new(name: impl Into<String>, run: impl FnMut() -> Result<f64> + 'a) -> Contestant<'a> {
        Contestant { name: name.into(), run: Box::new(run) }
    }
}

/// Runs all contestants `rounds` times, A B C A B C; returns the measures of each, by round.
///
/// # Errors
/// The first failure, with the contestant's name: a contestant that fails has no rate.
pub(crate) fn interleaved(rounds: usize, contestants: &mut [Contestant<'_>]) -> Result<Vec<Vec<f64>>> {
    let mut measures = vec![Vec::with_capacity(rounds); contestants.len()];
    for round in 1..=rounds {
        for (contestant, measures) in contestants.iter_mut().zip(&mut measures) {
            let measure = (contestant.run)().with_context(|| format!("measuring {}", contestant.name))?;
            eprintln!("   round {round}/{rounds}  {}: {}", contestant.name, crate::table::short(measure));
            measures.push(measure);
        }
    }
    Ok(measures)
}

/// The middle of some measures; 0 for none.
pub(crate) fn median(measures: &[f64]) -> f64 {
    let mut sorted = measures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (len, middle) if len % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The least and the greatest of some measures; 0 for none.
pub(crate) fn spread(measures: &[f64]) -> (f64, f64) {
    let least = measures.iter().copied().reduce(f64::min);
    let greatest = measures.iter().copied().reduce(f64::max);
    (least.unwrap_or_default(), greatest.unwrap_or_default())
}

/// Each measure over the other's of the same round.
pub(crate) fn ratios(measures: &[f64], others: &[f64]) -> Vec<f64> {
    measures.iter().zip(others).filter(|(_, other)| **other > 0.0).map(|(one, other)| one / other).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn contestants_take_turns() {
        let order = RefCell::new(Vec::new());
        let run = |name: char, measure: f64| {
            let order = &order;
            Contestant::new(name, move || {
                order.borrow_mut().push(name);
                Ok(measure)
            })
        };
        let measures = interleaved(2, &mut [run('a', 1.0), run('b', 2.0)]).unwrap();
        assert_eq!(order.into_inner(), ['a', 'b', 'a', 'b']);
        assert_eq!(measures, [[1.0, 1.0], [2.0, 2.0]]);
        let failing = Contestant::new("c", || anyhow::bail!("broken"));
        assert_eq!(interleaved(1, &mut [failing]).unwrap_err().to_string(), "measuring c");
    }

    #[test]
    fn the_median_is_the_middle_and_ratios_are_of_one_round() {
        for (measures, middle) in [(&[][..], 0.0), (&[3.0], 3.0), (&[4.0, 1.0], 2.5), (&[9.0, 1.0, 2.0], 2.0)]
        {
            assert!((median(measures) - middle).abs() < 1e-9, "{measures:?}");
        }
        assert_eq!(spread(&[2.0, 1.0, 3.0]), (1.0, 3.0));
        assert_eq!(ratios(&[2.0, 9.0, 1.0], &[1.0, 3.0, 0.0]), [2.0, 3.0]);
    }
}
