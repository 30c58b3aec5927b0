//! What can go wrong with a device. Every message names the remedy.

/// Why a device cannot do what it is asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that no device has.
    #[error("no device `{name}`: one of {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those that devices have.
        known: String,
    },
    /// A device that this program was built without.
    #[error(
        "this program was built without the device `{device}`: cargo build --release --features {feature}"
    )]
    NotBuilt {
        /// Its name.
        device: &'static str,
        /// The feature that builds it in.
        feature: &'static str,
    },
    /// There is no such device on this machine.
    #[error("no {what} on this machine: {why}; {remedy}")]
    Missing {
        /// What is not there.
        what: &'static str,
        /// What its library says.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A number format that the device does not have.
    #[error(
        "{device} does not compute in {precision}: leave --precision away, or choose another --device"
    )]
    Precision {
        /// Which device.
        device: String,
        /// The format.
        precision: &'static str,
    },
    /// More memory than there is.
    #[error(
        "{device} has room for {room} MB and {what} needs {needed} MB: choose a smaller --batch or another --device"
    )]
    Memory {
        /// Which device.
        device: String,
        /// What it has, in MB.
        room: u64,
        /// What needs more.
        what: String,
        /// How much, in MB.
        needed: u64,
    },
    /// More work at once than the device takes.
    #[error("{device} does not take a batch of {batch} inputs at once: choose a smaller --batch")]
    Batch {
        /// Which device.
        device: String,
        /// The inputs.
        batch: usize,
    },
    /// A kernel that the device's driver refuses.
    #[error(
        "the kernel {kernel} does not compile on {device}: {why}; update its driver, or choose another --device"
    )]
    Compile {
        /// Which kernel.
        kernel: &'static str,
        /// Which device.
        device: String,
        /// What the driver says.
        why: String,
    },
    /// The device stopped answering.
    #[error("{device} stopped: {why}; try again, or choose another --device")]
    Stopped {
        /// Which device.
        device: String,
        /// What the driver says.
        why: String,
    },
}
