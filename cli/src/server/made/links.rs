//! Links over which batches are made, of all models and lengths of texts together: each takes memory, whatever is made over it.

use std::sync::{Arc, Mutex, MutexGuard};

use super::FRESH;
use crate::server::standing::Standing;

/// Memory of a link's transfers and keys, in bytes: measured, rounded up.
pub(super) const LINK: u64 = 32 << 20;

/// A server's.
pub struct Links {
    /// Whose they are.
    all: Mutex<Vec<(Arc<str>, Arc<Standing>)>>,
    most: usize,
}

/// A link for making, until it ends.
pub struct Joined(Arc<Links>, Arc<Standing>);

impl Drop for Joined {
    fn drop(&mut self) {
        let mut all = self.0.lock();
        // Once: a link that goes on, with another length or the same, joins before it leaves.
        let at = all.iter().position(|(_, other)| Arc::ptr_eq(other, &self.1));
        at.map(|at| all.swap_remove(at));
    }
}

impl Links {
    /// None yet, of a server that has so much memory: half of it is for links, and there are two at least.
    pub fn new(memory: u64) -> Arc<Self> {
        let most = usize::try_from(memory / 2 / LINK).unwrap_or(usize::MAX).max(2);
        Arc::new(Self { all: Mutex::default(), most })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Arc<str>, Arc<Standing>)>> {
        self.all.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A link of a client is set up, or goes on: one client has half of them. Where there is none for one more, a link over which
    /// nothing was made for longer than batches stay is ended, and has gone when the client asks again.
    pub fn join(self: &Arc<Self>, client: &str, standing: &Arc<Standing>) -> Option<Joined> {
        let mut all = self.lock();
        let goes_on = all.iter().any(|(_, other)| Arc::ptr_eq(other, standing));
        let theirs = |(holder, _): &&(Arc<str>, _)| &**holder == client;
        let share = all.iter().filter(theirs).count() >= self.most.div_ceil(2);
        if !goes_on && (share || all.len() >= self.most) {
            let links = all.iter().filter(|one| !share || theirs(one));
            let idle = links.filter_map(|(_, link)| Some((link.idle()?, link)));
            let longest = idle.max_by_key(|(idle, _)| *idle).filter(|(idle, _)| *idle >= FRESH);
            longest.inspect(|(_, link)| link.end());
            return None;
        }
        all.push((client.into(), Arc::clone(standing)));
        Some(Joined(Arc::clone(self), Arc::clone(standing)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A link, and what is told of its end.
    fn link(end: impl Fn() + Send + Sync + 'static) -> Arc<Standing> {
        Arc::new(Standing::new(Duration::from_secs(60), move |_| end()))
    }

    #[test]
    fn links_have_their_share_of_memory() {
        let links = Links::new(8 * LINK);
        let join = |client| links.join(client, &link(|| ()));
        let a = [(); 2].map(|()| join("a").unwrap());
        assert!(join("a").is_none());
        let b = join("b").unwrap();
        let _c = join("c").unwrap();
        assert!(join("d").is_none());
        drop((a, b));
        assert!(join("d").is_some());
    }

    /// What is made over them is as small as texts are: their number is the server's, not a model's.
    #[test]
    fn two_clients_leave_a_third_its_link() {
        let links = Links::new(1500 << 20);
        let held =
            ["a", "b"].map(|client| [(); 2].map(|()| links.join(client, &link(|| ())).unwrap()));
        assert!(links.join("c", &link(|| ())).is_some());
        drop(held);
        let least = Links::new(0);
        let _a = least.join("a", &link(|| ())).unwrap();
        assert!(least.join("a", &link(|| ())).is_none() && least.join("b", &link(|| ())).is_some());
    }

    #[test]
    fn links_over_which_nothing_is_made_are_ended_where_others_have_no_room() {
        let links = Links::new(8 * LINK);
        let ended = Arc::new(Mutex::new(Vec::new()));
        let open = |client: &'static str, idle: Duration| {
            let told = Arc::clone(&ended);
            let standing = link(move || told.lock().unwrap().push((client, idle.as_secs())));
            standing.rested(idle);
            (links.join(client, &standing).unwrap(), standing)
        };
        let idle = [10, 100, 200, 95].map(Duration::from_secs);
        let all = [open("a", idle[0]), open("a", idle[1]), open("b", idle[2]), open("b", idle[3])];
        let refused = |client| assert!(links.join(client, &link(|| ())).is_none());
        let told = || std::mem::take(&mut *ended.lock().unwrap());
        refused("c");
        assert_eq!(told(), [("b", 200)]);
        // Who has its share frees no one else's.
        refused("a");
        assert_eq!(told(), [("a", 100)]);
        for (_, standing) in &all {
            standing.rested(FRESH / 2);
        }
        refused("c");
        assert!(told().is_empty(), "batches that were made over it may still be used");
    }

    #[test]
    fn a_link_that_goes_on_counts_once_more_and_once_less() {
        let links = Links::new(0);
        let standing = link(|| ());
        let mut joined = links.join("a", &standing).unwrap();
        for _ in 0..5 {
            joined = links.join("a", &standing).unwrap();
            assert_eq!(links.lock().len(), 1);
        }
        drop(joined);
        assert!(links.lock().is_empty());
    }
}
