//! Places for handshakes under way: strangers who never finish theirs shut nobody out.
//!
//! An address has few places, so that one machine cannot hold them all; a machine with many
//! addresses finds that its own oldest handshakes give way.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Handshakes under way, all together.
pub(crate) const PENDING: usize = 64;
/// Handshakes under way from one address (of IPv6: one /64, which one machine may own whole).
pub(crate) const PER_ORIGIN: usize = 4;
/// From so many on, a newcomer must first prove that it owns its address: of all, and of its own.
const WARY: usize = PENDING / 4;
const WARY_OF_ORIGIN: usize = PER_ORIGIN / 2;

/// The handshakes under way at one endpoint.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    next: u64,
    /// The oldest is in front.
    holders: VecDeque<Holder>,
}

struct Holder {
    id: u64,
    origin: IpAddr,
    /// Dropped when it must give way.
    _stay: oneshot::Sender<()>,
}

/// One place, free again on drop.
pub(crate) struct Place {
    places: Places,
    id: u64,
    evicted: oneshot::Receiver<()>,
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a newcomer must prove its address first, so that nobody fills places in the name of
    /// others.
    pub fn is_wary(&self, from: SocketAddr) -> bool {
        let taken = self.lock();
        taken.holders.len() >= WARY || taken.of(origin(from)) >= WARY_OF_ORIGIN
    }

    /// A place for a newcomer, from the oldest if all are taken; `None` if its address has its
    /// share. (If it took from its own, many honest clients behind one address would put each
    /// other out and none would get in.)
    pub fn take(&self, from: SocketAddr) -> Option<Place> {
        let mut taken = self.lock();
        let origin = origin(from);
        if taken.of(origin) >= PER_ORIGIN {
            return None;
        }
        if taken.holders.len() >= PENDING {
            taken.holders.pop_front();
        }
        let (stay, evicted) = oneshot::channel();
        let id = taken.next;
        taken.next += 1;
        taken.holders.push_back(Holder { id, origin, _stay: stay });
        Some(Place { places: self.clone(), id, evicted })
    }
}

impl Taken {
    fn of(&self, origin: IpAddr) -> usize {
        self.holders.iter().filter(|holder| holder.origin == origin).count()
    }
}

impl Place {
    /// Waits until the place goes to somebody else.
    pub async fn evicted(&mut self) {
        // Nothing is ever sent: it ends when the other half is dropped.
        let _ = (&mut self.evicted).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().holders.retain(|holder| holder.id != self.id);
    }
}

fn origin(from: SocketAddr) -> IpAddr {
    match from.ip().to_canonical() {
        IpAddr::V6(whole) => Ipv6Addr::from_bits(whole.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 9)
    }

    fn is_evicted(place: &mut Place) -> bool {
        place.evicted.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn an_address_has_its_share_and_no_more() {
        for [one, same, other] in [
            ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"],
            ["2001:db8::1", "2001:db8::ffff:1:2:3", "2001:db8:0:1::1"],
        ] {
            let places = Places::default();
            assert!(!places.is_wary(at(one)));
            let mut held: Vec<_> = (0..PER_ORIGIN).map(|_| places.take(at(one)).unwrap()).collect();
            assert!(places.is_wary(at(same)) && !places.is_wary(at(other)));
            assert!(places.take(at(same)).is_none());
            let _other = places.take(at(other)).unwrap();
            assert!(!held.iter_mut().any(is_evicted));
            held.pop();
            let _again = places.take(at(same)).unwrap();
        }
    }

    #[test]
    fn the_oldest_gives_way_when_all_places_are_taken() {
        let places = Places::default();
        let from = |n: usize| at(&format!("10.0.0.{n}"));
        let mut held: Vec<_> = (0..PENDING).map(|n| places.take(from(n)).unwrap()).collect();
        assert!(places.is_wary(from(200)));
        let mut newcomer = places.take(from(200)).unwrap();
        assert!(is_evicted(&mut held[0]) && !held[1..].iter_mut().any(is_evicted));
        // Whoever lost its place leaves no second one free.
        drop(held.remove(0));
        let _next = places.take(from(201)).unwrap();
        assert!(is_evicted(&mut held[0]) && !held[1..].iter_mut().any(is_evicted));
        assert!(!is_evicted(&mut newcomer));
        assert_eq!(places.lock().holders.len(), PENDING);
    }
}
