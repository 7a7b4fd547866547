//! Who works on which lane: from who is there and who holds what, the same answer in every process that looks. Pure;
//! nothing follows from it but whom a process lets go first, since only a claim makes an owner.

/// Gives each lane to a member. `owners` has each lane's present owner, if its lease runs; `members` is sorted. Every
/// member gets its fair share, to within one lane; what a member holds within its share stays with it. The answer has
/// one entry per lane, an index into `members`; it is empty where there are none.
pub(super) fn assign(owners: &[Option<&str>], members: &[&str]) -> Vec<usize> {
    if members.is_empty() {
        return Vec::new();
    }
    let member_of = |owner: &Option<&str>| members.iter().position(|m| Some(*m) == *owner);
    let holders: Vec<Option<usize>> = owners.iter().map(member_of).collect();
    let held = |member: usize| holders.iter().filter(|holder| **holder == Some(member)).count();
    // Where the lanes do not divide evenly, those that hold most keep one more: nothing moves without need.
    let mut by_held: Vec<usize> = (0..members.len()).collect();
    by_held.sort_by_key(|member| (std::cmp::Reverse(held(*member)), *member));
    let (least, more) = (owners.len() / members.len(), owners.len() % members.len());
    let mut room = vec![least; members.len()];
    by_held.iter().take(more).for_each(|member| room[*member] += 1);
    let mut assigned: Vec<Option<usize>> = Vec::with_capacity(owners.len());
    for holder in &holders {
        let keeps = holder.filter(|member| room[*member] > 0);
        if let Some(member) = keeps {
            room[member] -= 1;
        }
        assigned.push(keeps);
    }
    let mut next = 0;
    let mut place = |room: &mut [usize]| {
        while room[next] == 0 {
            next += 1;
        }
        room[next] -= 1;
        next
    };
    assigned.into_iter().map(|member| member.unwrap_or_else(|| place(&mut room))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lanes_are_shared_fairly_and_stay_where_they_are() {
        let (a, b, c) = (Some("a"), Some("b"), Some("c"));
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let becomes = |owners: &[Option<&str>], members: usize, expected: &[usize]| {
            assert_eq!(assign(owners, &NAMES[..members]), expected, "{owners:?}, {members} members");
        };
        becomes(&[None, None, None], 0, &[]);
        becomes(&[None, None, None], 1, &[0, 0, 0]);
        becomes(&[None, None, None, None], 2, &[0, 0, 1, 1]);
        // One joins: it gets its share, and the rest stays.
        becomes(&[a, a, a, a], 2, &[0, 0, 1, 1]);
        becomes(&[b, b, b, b], 2, &[1, 1, 0, 0]);
        becomes(&[a, a, b, b], 3, &[0, 0, 1, 2]);
        // One is gone, or never was a member.
        becomes(&[a, b, c, c], 2, &[0, 1, 0, 1]);
        // More processes than lanes.
        becomes(&[c], 3, &[2]);
        becomes(&[a, a, b], 2, &[0, 0, 1]);
    }

    proptest! {
        /// Whoever holds what: shares differ by one at most, a second look moves nothing, and no more lanes move than
        /// the members' shares demand.
        #[test]
        fn any_state_becomes_a_fair_one_and_stays(
            owners in prop::collection::vec(prop::option::of(0_usize..6), 0..40),
            members in 1_usize..6,
        ) {
            const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
            let names = &NAMES[..members];
            let before: Vec<Option<&str>> = owners.iter().map(|o| o.map(|o| NAMES[o])).collect();
            let assigned = assign(&before, names);
            prop_assert_eq!(assigned.len(), before.len());
            let count = |member| assigned.iter().filter(|a| **a == member).count();
            let counts: Vec<usize> = (0..members).map(count).collect();
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{:?}", counts);
            let after: Vec<Option<&str>> = assigned.iter().map(|a| Some(names[*a])).collect();
            prop_assert_eq!(assign(&after, names), assigned.clone());
            for (member, name) in names.iter().enumerate() {
                let held = before.iter().filter(|o| **o == Some(*name)).count();
                let kept = before.iter().zip(&assigned).filter(|(o, a)| **o == Some(*name) && **a == member).count();
                prop_assert_eq!(kept, held.min(counts[member]), "{}", name);
            }
        }
    }
}
