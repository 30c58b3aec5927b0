//! A UDP socket that tells when a packet came in, and moves trains of packets in one call.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::socket::{
    self, ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, sockopt,
};

/// Kernel buffers asked for: what comes in while we do something else.
const BUFFER: usize = 16 << 20;

/// Room for what the kernel says about a packet: time, train, class, drops.
const CONTROL: usize = 256;

/// Congestion marks within a packet's class.
const MARKS: u8 = 3;

/// The largest datagram, or train of them.
pub(crate) const LARGEST: usize = 65_536;

/// Packets that the kernel cuts one send into, at most.
pub(crate) const TRAIN: usize = 64;

/// Bytes of one send, at most.
pub(crate) const TRAIN_BYTES: usize = 65_000;

pub(crate) struct Wire {
    socket: UdpSocket,
    v6: bool,
    /// Packets that the kernel has dropped so far for want of buffer.
    overrun: u32,
    control: [u8; CONTROL],
}

/// One or more packets of the same size (the last may be smaller) that came in together.
pub(crate) struct Received {
    pub len: usize,
    /// Size of each packet.
    pub stride: usize,
    pub from: Option<SocketAddr>,
    /// How long ago.
    pub age: Duration,
    /// Congestion marks.
    pub marks: u8,
    /// Packets that the kernel dropped since the last call.
    pub overrun: u32,
}

impl Wire {
    /// Takes packets from anybody.
    pub fn bind(at: SocketAddr) -> io::Result<Self> {
        Self::new(UdpSocket::bind(at)?, at.is_ipv6())
    }

    /// Talks to `target` alone.
    pub fn connect(target: SocketAddr) -> io::Result<Self> {
        let any = match target {
            SocketAddr::V4(_) => SocketAddr::from(([0u8; 4], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0u16; 8], 0)),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(target)?;
        Self::new(socket, target.is_ipv6())
    }

    fn new(socket: UdpSocket, v6: bool) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket::setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        socket::setsockopt(&socket, sockopt::UdpGroSegment, &true)?;
        socket::setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        if v6 {
            socket::setsockopt(&socket, sockopt::Ipv6RecvTClass, &true)?;
        } else {
            socket::setsockopt(&socket, sockopt::IpRecvTos, &true)?;
        }
        // What is refused beyond a privilege is cut to the system's limit instead.
        if socket::setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
            socket::setsockopt(&socket, sockopt::RcvBuf, &BUFFER)?;
        }
        if socket::setsockopt(&socket, sockopt::SndBufForce, &BUFFER).is_err() {
            socket::setsockopt(&socket, sockopt::SndBuf, &BUFFER)?;
        }
        Ok(Self { socket, v6, overrun: 0, control: [0; CONTROL] })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next packets, if there are any.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<Received> {
        let got = loop {
            let mut into = [IoSliceMut::new(buffer)];
            let control = Some(&mut self.control[..]);
            let flags = MsgFlags::MSG_DONTWAIT;
            let fd = self.socket.as_raw_fd();
            match socket::recvmsg::<SockaddrStorage>(fd, &mut into, control, flags) {
                Ok(got) => {
                    let mut received = Received {
                        len: got.bytes,
                        stride: got.bytes,
                        from: got.address.as_ref().and_then(address),
                        age: Duration::ZERO,
                        marks: 0,
                        overrun: 0,
                    };
                    for message in got.cmsgs().into_iter().flatten() {
                        match message {
                            ControlMessageOwned::ScmTimestampns(time) => {
                                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                                received.age =
                                    since.unwrap_or_default().saturating_sub(time.into());
                            }
                            ControlMessageOwned::UdpGroSegments(size) => {
                                received.stride = usize::try_from(size).unwrap_or(0).max(1);
                            }
                            ControlMessageOwned::Ipv4Tos(class) => received.marks = class & MARKS,
                            ControlMessageOwned::Ipv6TClass(class) => {
                                received.marks = class as u8 & MARKS;
                            }
                            ControlMessageOwned::RxqOvfl(count) => {
                                received.overrun = count.wrapping_sub(self.overrun);
                                self.overrun = count;
                            }
                            _ => {}
                        }
                    }
                    break received;
                }
                // A refusal that came back for an earlier packet: it is gone, there may be more.
                Err(Errno::EINTR | Errno::ECONNREFUSED | Errno::EHOSTUNREACH) => {}
                Err(_) => return None,
            }
        };
        Some(got)
    }

    /// Sends packets of `stride` bytes (the last may be smaller); false when they could not be.
    pub fn send(&self, to: Option<SocketAddr>, packets: &[IoSlice<'_>], marks: u8) -> bool {
        let Some(first) = packets.first() else { return true };
        let to = to.map(SockaddrStorage::from);
        let stride = first.len() as u16;
        let (class, class6) = (marks, i32::from(marks));
        let mut about = Vec::with_capacity(2);
        if packets.len() > 1 {
            about.push(ControlMessage::UdpGsoSegments(&stride));
        }
        match (marks, self.v6) {
            (0, _) => {}
            (_, true) => about.push(ControlMessage::Ipv6TClass(&class6)),
            (_, false) => about.push(ControlMessage::Ipv4Tos(&class)),
        }
        // The first try may only fetch the refusal of an earlier packet.
        for _ in 0..2 {
            let fd = self.socket.as_raw_fd();
            match socket::sendmsg(fd, packets, &about, MsgFlags::MSG_DONTWAIT, to.as_ref()) {
                Ok(_) => return true,
                Err(Errno::ECONNREFUSED | Errno::EINTR | Errno::EHOSTUNREACH) => {}
                // A device that does not cut trains.
                Err(Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE) if packets.len() > 1 => {
                    let to = to.and_then(|to| address(&to));
                    return packets.iter().all(|p| self.send(to, std::slice::from_ref(p), marks));
                }
                Err(_) => return false,
            }
        }
        false
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn address(of: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = of.as_sockaddr_in().map(|a| SocketAddr::V4((*a).into()));
    v4.or_else(|| of.as_sockaddr_in6().map(|a| SocketAddr::V6((*a).into())))
}

/// Nanoseconds since the relay's start.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts at an hour, so that what came in before the start has a time, too.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(&self) -> u64 {
        3_600_000_000_000 + self.0.elapsed().as_nanos() as u64
    }

    /// When a packet of this age came in; a clock that was set meanwhile does not count.
    pub fn came(&self, age: Duration) -> u64 {
        let age = if age < Duration::from_secs(1) { age } else { Duration::ZERO };
        self.now() - age.as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(wire: &mut Wire, buffer: &mut [u8]) -> Received {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(got) = wire.receive(buffer) {
                return got;
            }
            assert!(Instant::now() < end, "nothing came");
            std::thread::yield_now();
        }
    }

    #[test]
    fn trains_arrive_with_their_marks_and_their_age() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(mut there) = Wire::bind(local.parse().unwrap()) else {
                assert!(local.starts_with('['), "IPv4 is everywhere");
                continue;
            };
            let here = Wire::connect(there.local_addr().unwrap()).unwrap();
            let train =
                [IoSlice::new(&[1; 1000]), IoSlice::new(&[2; 1000]), IoSlice::new(&[3; 10])];
            assert!(here.send(None, &train, 2));
            let mut buffer = vec![0; LARGEST];
            let got = receive(&mut there, &mut buffer);
            assert_eq!((got.len, got.stride, got.marks), (2010, 1000, 2));
            assert_eq!(got.from.unwrap().port(), here.local_addr().unwrap().port());
            assert!(got.age > Duration::ZERO && got.age < Duration::from_secs(1));
            assert_eq!(buffer[2009], 3);
        }
    }
}
