//! Messages over QUIC on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use sotto_net::{Endpoint, Identity, Link, Profile, QuicLink};

use crate::{Error, machine::Messages};

const DEADLINE: Duration = Duration::from_secs(20);

/// Payload bytes and rounds of exchanges in which both send at once, as parties do.
const EXCHANGES: [(usize, u32); 6] =
    [(64, 400), (4 << 10, 400), (32 << 10, 200), (128 << 10, 100), (512 << 10, 60), (2 << 20, 20)];

/// Bytes of a message of the stream, and how many.
const STREAM: (usize, u32) = (8 << 20, 24);

pub(super) fn measure() -> Result<Messages, Error> {
    let failed = |e: sotto_net::Error| Error::Io {
        what: "measure messages on loopback".into(),
        error: std::io::Error::other(e.to_string()),
    };
    let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let [a, b] = ["a", "b"].map(Identity::generate);
    let (a, b) = (a.map_err(failed)?, b.map_err(failed)?);
    let bind = |own: &Identity, peer: &Identity| {
        let peers = [(peer.name().to_owned(), peer.certificate().clone())];
        Endpoint::bind(local, own, &peers, Profile::loopback()).map_err(failed)
    };
    let (left, right) = (bind(&a, &b)?, bind(&b, &a)?);
    let address = left.local_addr();
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut link = left.accept(DEADLINE)?;
            exchanges(&mut link)?;
            for step in 0..STREAM.1 {
                link.recv(step, STREAM.0)?;
            }
            link.send(STREAM.1, vec![0])?;
            link.finish()
        });
        let mut link = right.connect(address, "a", DEADLINE)?;
        let medians = exchanges(&mut link)?;
        let start = Instant::now();
        for step in 0..STREAM.1 {
            link.send(step, vec![0; STREAM.0])?;
        }
        link.recv(STREAM.1, 1)?;
        let stream = start.elapsed().as_secs_f64();
        let finished = link.finish();
        other.join().expect("the other side does not panic")?;
        finished?;
        Ok((medians, stream))
    })
    .map_err(failed)
    .map(|(medians, stream)| {
        let samples: Vec<_> =
            medians.iter().map(|&(bytes, t)| ([1.0, 0.0, 0.0, bytes as f64], t)).collect();
        let [fixed, _, _, byte] = crate::fit::fit(&samples);
        let stream_byte = stream / (STREAM.0 as f64 * f64::from(STREAM.1));
        Messages { fixed, byte, stream_byte, element: 0.0 }
    })
}

/// Median seconds of an exchange, by size.
fn exchanges(link: &mut QuicLink) -> Result<Vec<(usize, f64)>, sotto_net::Error> {
    let mut medians = Vec::new();
    for (len, rounds) in EXCHANGES {
        let mut seconds = Vec::with_capacity(rounds as usize);
        for step in 0..rounds {
            let start = Instant::now();
            link.send(step, vec![1; len])?;
            link.recv(step, len)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        medians.push((len, seconds[seconds.len() / 2]));
    }
    Ok(medians)
}
