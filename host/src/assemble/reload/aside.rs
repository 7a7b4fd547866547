//! Where the slow work of a reload is done: on threads of its own, half as many as there are cores, that give way to the
//! lanes. Compiling takes every core that it is given, and a lane whose thread has to wait for one is a batch that waits.

use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::oneshot;

/// See the module. The compiler, which works on several functions at once, stays on these threads too.
pub(in crate::assemble) struct Aside(ThreadPool);

impl Aside {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives none.
    pub(in crate::assemble) fn new() -> Result<Self, ThreadPoolBuildError> {
        let cores = available_parallelism().map_or(1, usize::from);
        let pool = ThreadPoolBuilder::new()
            .num_threads((cores / 2).max(1))
            .thread_name(|number| format!("reload-{number}"))
            .start_handler(|_| give_way())
            // Whoever asked for the work is told that it broke.
            .panic_handler(drop);
        pool.build().map(Aside)
    }

    /// Does some work.
    ///
    /// # Errors
    /// It panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let (done, is_done) = oneshot::channel();
        self.0.spawn(move || {
            // Nobody waits any more where the run has ended.
            let _ = done.send(work());
        });
        is_done.await.map_err(|_| "a fault of the engine itself; the log tells where".to_owned())
    }
}

/// How much this thread gives way: 19 is the most, 0 not at all. As a compiler that somebody runs with `nice`.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// On Linux a thread has a priority of its own; elsewhere the process has one, which the lanes need.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "reload.does_not_give_way");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_on_a_thread_that_gives_way_and_one_that_breaks_is_told() {
        let aside = Aside::new().unwrap();
        let (nice, name) = aside
            .run(|| {
                let nice = rustix::process::getpriority_process(None).unwrap();
                (nice, std::thread::current().name().map(str::to_owned))
            })
            .await
            .unwrap();
        assert!(!cfg!(target_os = "linux") || nice >= 5, "{nice}");
        assert!(name.unwrap().starts_with("reload-"));
        assert!(aside.run(|| -> u8 { panic!("on purpose") }).await.is_err());
        assert_eq!(aside.run(|| 1).await, Ok(1), "and goes on");
    }

    #[tokio::test]
    async fn the_compilers_own_threads_are_these() {
        let aside = Aside::new().unwrap();
        let threads = aside.run(rayon::current_num_threads).await.unwrap();
        let cores = available_parallelism().map_or(1, usize::from);
        assert_eq!(threads, (cores / 2).max(1));
    }
}
