//! Both parties of an evaluation in one process, turn by turn.

use super::{Evaluated, Evaluation, Turn};
use crate::error::Error;

/// Drives the server's and the client's evaluation in one process, turn by turn, without a thread.
///
/// # Errors
/// [`Error::Desync`] when they are not of one plan.
pub fn lockstep(parties: [Evaluation<'_>; 2]) -> Result<[Evaluated; 2], Error> {
    let [mut server, mut client] = parties;
    loop {
        let message = |turn| match turn {
            Turn::Exchange { send, expect, .. } => Ok((send, expect)),
            Turn::Done(evaluated) => Err(evaluated),
        };
        match (message(server.turn()), message(client.turn())) {
            (Err(server), Err(client)) => return Ok([server, client]),
            (from_server, from_client) => {
                let (to_client, server_due) = from_server.unwrap_or_default();
                let (to_server, client_due) = from_client.unwrap_or_default();
                if server_due + to_server.len() > 0 {
                    server.receive(&to_server)?;
                }
                if client_due + to_client.len() > 0 {
                    client.receive(&to_client)?;
                }
            }
        }
    }
}
