//! A plugin that traps where it is asked what it is, so that hosts can be tested against it.

use reconverge_sdk::{Answer, Batch, Contract, Descriptor, Plugin, Stage, Table, stage};

#[derive(Debug)]
struct FaultyDescribe;

impl Plugin for FaultyDescribe {
    #[expect(clippy::panic, reason = "to trap is what this is for")]
    fn describe() -> Descriptor {
        panic!("this plugin does not say what it is")
    }

    fn open(_: &str, _: &[Table]) -> Result<(Self, Vec<Contract>), String> {
        Ok((FaultyDescribe, Vec::new()))
    }
}

impl Stage<stage::Filter> for FaultyDescribe {
    fn run(&mut self, _: &Batch<'_>) -> Result<Answer, String> {
        Err("it asked for no table".into())
    }
}

reconverge_sdk::export!(FaultyDescribe: filter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "does not say what it is")]
    fn it_traps_where_it_is_described() {
        FaultyDescribe::describe();
    }
}
