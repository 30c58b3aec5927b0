//! What the peers need for the same functions, as measured on a machine of this class (2 cores of an AMD EPYC Zen 4,
//! loopback, every party its own process, 23 Nov 2026; default settings).
//!
//! Seconds are the smaller of its two figures. Bytes and sends are the busiest party's. SPU's and CrypTen's
//! two-party dealers run inside the time, but their bytes are not counted.

/// One measured peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peer {
    /// The operation, by our name for it.
    pub op: &'static str,
    /// System and protocol.
    pub name: &'static str,
    /// Seconds, offline and online together.
    pub seconds: f64,
    /// Megabytes sent by the busiest party.
    pub megabytes: f64,
    /// Sends of the busiest party.
    pub sends: u64,
    /// Largest absolute error; `None` where it was not measured.
    pub error: Option<f64>,
}

const ABY3: &str = "SPU ABY3 (3 parties)";
const SEMI2K: &str = "SPU SEMI2K";
const CHEETAH: &str = "SPU CHEETAH";
const CRYPTEN: &str = "CrypTen TFP";
const MP_SPDZ: &str = "MP-SPDZ ring (3 parties)";

const fn peer(
    op: &'static str,
    name: &'static str,
    seconds: f64,
    megabytes: f64,
    sends: u64,
    error: Option<f64>,
) -> Peer {
    Peer { op, name, seconds, megabytes, sends, error }
}

/// Every figure of PEERS.md for an operation that is measured here.
pub const PEERS: &[Peer] = &[
    peer("less_100k", ABY3, 0.16, 3.6, 8, Some(0.0)),
    peer("less_100k", SEMI2K, 0.11, 5.6, 7, Some(0.0)),
    peer("less_100k", CHEETAH, 1.12, 7.4, 2604, Some(0.0)),
    peer("less_100k", CRYPTEN, 0.14, 21.6, 8, Some(0.0)),
    peer("less_100k", MP_SPDZ, 0.073, 3.84, 28, None),
    peer("relu_100k", ABY3, 0.22, 6.0, 11, Some(4e-6)),
    peer("relu_100k", SEMI2K, 0.11, 7.2, 8, Some(4e-6)),
    peer("relu_100k", CHEETAH, 1.18, 8.3, 2608, Some(4e-6)),
    peer("relu_100k", CRYPTEN, 0.15, 23.2, 9, Some(2e-5)),
    peer("exp_100k", ABY3, 0.15, 16.4, 25, Some(6e-2)),
    peer("exp_100k", SEMI2K, 0.13, 10.0, 17, Some(7e-2)),
    peer("exp_100k", CHEETAH, 2.99, 66.6, 466, Some(7e-2)),
    peer("exp_100k", CRYPTEN, 0.079, 6.4, 8, Some(9e-2)),
    peer("exp_100k", MP_SPDZ, 0.466, 38.36, 170, None),
    peer("gelu_100k", ABY3, 0.69, 37.2, 62, Some(1e-2)),
    peer("gelu_100k", SEMI2K, 0.59, 39.6, 45, Some(1e-2)),
    peer("gelu_100k", CHEETAH, 11.1, 167.0, 3668, Some(1e-2)),
    peer("gelu_100k", CRYPTEN, 0.39, 41.6, 26, Some(2e-3)),
    peer("recip_100k", ABY3, 0.68, 45.6, 52, Some(5e-5)),
    peer("recip_100k", SEMI2K, 0.53, 50.5, 36, Some(5e-5)),
    peer("recip_100k", CHEETAH, 36.6, 160.0, 18708, Some(5e-5)),
    peer("recip_100k", CRYPTEN, 0.46, 55.2, 38, Some(2e-3)),
    peer("recip_100k", MP_SPDZ, 0.501, 27.02, 133, None),
    peer("rsqrt_100k", ABY3, 0.74, 52.4, 48, Some(7e-4)),
    peer("rsqrt_100k", SEMI2K, 0.62, 42.9, 26, Some(7e-4)),
    peer("rsqrt_100k", CRYPTEN, 0.20, 18.4, 17, Some(2e-2)),
    peer("softmax_12x128x128", ABY3, 2.27, 134.0, 168, Some(1e-2)),
    peer("softmax_12x128x128", SEMI2K, 2.01, 137.0, 119, Some(1e-2)),
    peer("softmax_12x128x128", CHEETAH, 91.3, 442.0, 35782, Some(1e-2)),
    peer("softmax_12x128x128", CRYPTEN, 1.34, 146.0, 116, Some(1e-2)),
    peer("layernorm_128x768", ABY3, 0.17, 6.0, 63, Some(2e-3)),
    peer("layernorm_128x768", SEMI2K, 0.12, 6.0, 34, Some(2e-3)),
    peer("layernorm_128x768", CHEETAH, 1.73, 33.2, 263, Some(3e-3)),
    peer("layernorm_128x768", CRYPTEN, 0.089, 2.4, 20, Some(2e-4)),
    peer("matmul_128x768x3072", ABY3, 0.56, 7.9, 3, Some(3e-4)),
    peer("matmul_128x768x3072", SEMI2K, 0.71, 21.2, 2, Some(3e-4)),
    peer("matmul_128x768x3072", CHEETAH, 48.5, 15.6, 62, Some(3e-4)),
    peer("matmul_128x768x3072", CRYPTEN, 0.26, 19.7, 1, Some(1e-3)),
    peer("matmul_128x768x3072", MP_SPDZ, 2.625, 6.29, 5, None),
    peer("matmul_64x256x256", ABY3, 0.045, 0.328, 3, Some(2e-4)),
    peer("matmul_64x256x256", SEMI2K, 0.040, 0.721, 2, Some(2e-4)),
    peer("matmul_64x256x256", CHEETAH, 1.54, 0.928, 6, Some(2e-4)),
    peer("matmul_64x256x256", CRYPTEN, 0.012, 0.655, 1, Some(6e-4)),
];

/// The fastest peer at `op`.
pub fn best(op: &str) -> Option<Peer> {
    let all = PEERS.iter().filter(|p| p.op == op);
    all.min_by(|a, b| a.seconds.total_cmp(&b.seconds)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_fastest_of_all_systems() {
        assert_eq!(best("less_100k").map(|p| p.name), Some(MP_SPDZ));
        assert_eq!(best("softmax_12x128x128").map(|p| p.seconds), Some(1.34));
        assert_eq!(best("no such operation"), None);
    }
}
