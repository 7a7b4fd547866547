//! Chance that can be played again: the same seed gives the same histories on every machine.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): few words of state, no
/// dependency whose next version would change what a seed means.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The dice of one case of a seed, so that a case can be played without those before it.
    #[must_use]
    pub fn of_case(seed: u64, case: u64) -> Dice {
        let mut dice = Dice(seed ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    /// True once in `n` throws.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of several; `None` of none.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// Merges lists of these lengths into one order that keeps each list's own: which list gives its next, in turn.
    pub fn interleave(&mut self, lengths: &[usize]) -> Vec<usize> {
        let mut left = lengths.to_vec();
        let mut all: usize = left.iter().sum();
        let mut order = Vec::with_capacity(all);
        while all > 0 {
            let mut at = self.below(all);
            let mut list = 0;
            while at >= left[list] {
                at -= left[list];
                list += 1;
            }
            left[list] -= 1;
            all -= 1;
            order.push(list);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_played_again() {
        let throws = |mut dice: Dice| (0..5).map(|_| dice.below(1000)).collect::<Vec<_>>();
        assert_eq!(throws(Dice::of_case(7, 3)), throws(Dice::of_case(7, 3)));
        assert_ne!(throws(Dice::of_case(7, 3)), throws(Dice::of_case(7, 4)));
        assert_eq!((Dice::new(1).below(0), Dice::new(1).one_of::<u8>(&[])), (0, None));
    }

    #[test]
    fn an_interleaving_keeps_every_list_whole() {
        let order = Dice::new(2).interleave(&[3, 0, 5]);
        let of = |list| order.iter().filter(|l| **l == list).count();
        assert_eq!((order.len(), of(0), of(1), of(2)), (8, 3, 0, 5));
    }
}
