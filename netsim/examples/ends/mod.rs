//! Two ends of an emulated network.

use std::{error::Error, net::SocketAddr};

use sotto_net::{Endpoint, Identity, Profile};
use sotto_netsim::{
    LOCAL_ROUND_TRIP, Network,
    emulate::{Emulator, Link, LinkPlan},
};

/// Server and client, what lies between them, and the way to the server.
pub struct Ends {
    pub server: Endpoint,
    pub client: Endpoint,
    pub between: Emulator,
    pub link: Link,
}

impl Ends {
    pub fn new(network: &Network) -> Result<Self, Box<dyn Error>> {
        let path = &network.client_server;
        let profile = match path.up.delay + path.down.delay {
            round_trip if round_trip > LOCAL_ROUND_TRIP => Profile::wan(),
            _ => Profile::lan(),
        };
        let (server, client) = (Identity::generate("server")?, Identity::generate("client")?);
        let local: SocketAddr = "127.0.0.1:0".parse()?;
        let bind = |us: &Identity, peer: &Identity| {
            let peers = [(peer.name().to_owned(), peer.certificate().clone())];
            Endpoint::bind(local, us, &peers, &peers, profile.clone())
        };
        let (server, client) = (bind(&server, &client)?, bind(&client, &server)?);
        let mut between = Emulator::start(1)?;
        let target = server.local_addr();
        let link = between.add(&LinkPlan { listen: local, target, path: path.clone() })?;
        Ok(Self { server, client, between, link })
    }
}
