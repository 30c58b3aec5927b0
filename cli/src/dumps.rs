//! What is left of a process after it: nothing on a disk.

/// Has the system write no core dump of this process, whose memory holds seeds, masks and weights or pictures, and lets no
/// other process of this user read that memory. Where the system does not grant it, it is logged.
pub fn none() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{
            DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit,
        };
        let nothing = Rlimit { current: Some(0), maximum: Some(0) };
        let limited = setrlimit(Resource::Core, nothing);
        let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        if let Err(error) = limited.and(hidden) {
            tracing::warn!(%error, "core dumps of this process are possible");
        }
    }
}
