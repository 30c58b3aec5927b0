//! Links for making, set up.

use std::{sync::Arc, time::Duration};

use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::{Role, cost::Cost, make::Recipe};
use sotto_session::{
    config::Peer,
    error::Error,
    messages::{self, ClientHello, Reply, ServerWelcome, step},
    workshop::{Workshop, longest_setup, nonce, session},
};

/// A link for making that is set up.
pub(crate) type Shop = (QuicLink, Workshop);

/// From where links for making come.
pub(crate) struct Source {
    pub endpoint: Arc<Endpoint>,
    pub server: Peer,
    /// What the server is greeted with, but for a nonce.
    pub hello: ClientHello,
    pub plan: [u8; 32],
    pub model: [u8; 32],
    pub recipe: Arc<Recipe>,
    /// What it predicts.
    pub cost: Cost,
    /// How long the server may be silent: in a greeting, and while it makes.
    pub deadline: Duration,
    pub patience: Duration,
}

impl Source {
    /// A new link, set up; `progress` is told of the encrypted weights.
    ///
    /// # Errors
    /// The link's; [`Error::Refused`].
    pub fn open(&self, progress: &messages::Progress<'_>) -> Result<Shop, Error> {
        let (server, deadline) = (&self.server, self.deadline);
        let mut link = self.endpoint.connect(server.address()?, &server.name, deadline)?;
        link.set_deadline(deadline);
        let nonce = nonce()?;
        let hello = ClientHello { making: Some(nonce), ..self.hello.clone() };
        messages::send(&mut link, step::HELLO, &hello)?;
        let theirs = match messages::recv(&mut link, step::WELCOME)? {
            ServerWelcome::Making(theirs) => theirs,
            ServerWelcome::Refused(why) => {
                return Err(Error::Refused { peer: link.peer().to_owned(), why });
            }
            ServerWelcome::Card { .. } | ServerWelcome::Waiting { .. } => {
                return Err(messages::unasked(&link, step::WELCOME));
            }
        };
        link.set_deadline(self.patience);
        let session = session([nonce, theirs], &self.plan, &self.model, self.recipe.extension);
        let within = (longest_setup(&self.cost, deadline), progress);
        let recipe = Arc::clone(&self.recipe);
        let workshop = Workshop::open(Role::Client, recipe, &mut link, session, None, within)?;
        Ok((link, workshop))
    }

    /// Goes on over a link whose server was told of another length: the one of this plan.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn turn(&self, (mut link, mut workshop): Shop) -> Result<Shop, Error> {
        match messages::recv(&mut link, step::REPLY)? {
            Reply::Length { plan } if plan == self.plan && workshop.turn(&self.recipe) => {
                link.set_deadline(self.patience);
                Ok((link, workshop))
            }
            Reply::Refused(why) => Err(Error::Refused { peer: link.peer().to_owned(), why }),
            _ => Err(messages::unasked(&link, step::REPLY)),
        }
    }
}
