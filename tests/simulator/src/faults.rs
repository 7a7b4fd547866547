//! What goes wrong, call by call. Every call of a source, reader, sink or claim has a number; a fault names the call
//! that it hits, whether before or after the call does its work, and how.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

/// Before the call does anything, or after it did all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// Nothing has happened yet.
    Before,
    /// It has happened; the answer is lost.
    After,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It says that it failed.
    Fail,
    /// It takes so many milliseconds longer; past a lease this is a process that was frozen.
    Delay(u64),
    /// The process dies with all that it had in memory.
    Crash,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The number of the call, from 0.
    pub call: u64,
    /// When.
    pub when: When,
    /// How.
    pub how: How,
}

/// All faults of a run, and the calls made so far.
#[derive(Debug, Default)]
pub struct Faults {
    by_call: HashMap<(u64, When), How>,
    calls: Mutex<Vec<String>>,
}

impl Faults {
    /// The faults of a run.
    #[must_use]
    pub fn new(faults: &[Fault]) -> Faults {
        let by_call = faults.iter().map(|f| ((f.call, f.when), f.how)).collect();
        Faults { by_call, calls: Mutex::default() }
    }

    /// The calls made so far, by number: who called what.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn number(&self, call: String) -> u64 {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(call);
        calls.len() as u64 - 1
    }
}

/// One life of a process: what its calls meet, and its death.
#[derive(Clone, Debug)]
pub struct Life {
    name: String,
    faults: Arc<Faults>,
    death: Arc<Notify>,
}

/// A call's number, for what comes after it.
#[derive(Clone, Copy, Debug)]
pub struct Called(u64);

impl Life {
    /// A process that begins.
    #[must_use]
    pub fn new(name: String, faults: Arc<Faults>) -> Life {
        Life { name, faults, death: Arc::default() }
    }

    /// Ends when the process dies.
    pub fn died(&self) -> impl Future<Output = ()> + use<> {
        let death = Arc::clone(&self.death);
        async move { death.notified().await }
    }

    /// A call begins; `Err` where it fails at once.
    pub async fn before(&self, call: &str) -> Result<Called, Failed> {
        let number = self.faults.number(format!("{} {call}", self.name));
        self.meet(number, When::Before).await.map(|()| Called(number))
    }

    /// A call has done its work; `Err` where nobody is to hear of it.
    pub async fn after(&self, called: Called) -> Result<(), Failed> {
        self.meet(called.0, When::After).await
    }

    async fn meet(&self, number: u64, when: When) -> Result<(), Failed> {
        match self.faults.by_call.get(&(number, when)) {
            None => Ok(()),
            Some(How::Fail) => Err(Failed),
            Some(How::Delay(ms)) => {
                tokio::time::sleep(Duration::from_millis(*ms)).await;
                Ok(())
            }
            Some(How::Crash) => {
                self.death.notify_one();
                std::future::pending().await
            }
        }
    }
}

/// A call that goes wrong, as [`How::Fail`] says.
#[derive(Clone, Copy, Debug)]
pub struct Failed;

impl Failed {
    /// The words of every such failure.
    pub const WORDS: &str = "made to fail";
}
