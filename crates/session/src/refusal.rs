//! Why a peer says no, as it crosses the wire: who is refused decides by the variant, people read the text.

use serde::{Deserialize, Serialize};

use crate::source::Source;

/// A peer's no. Texts inside of it are the peer's: [`crate::error::Error::Refused`] prints them escaped and cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another version of the messages.
    #[error("it speaks version {ours}, you {yours}; run the same version of sotto everywhere")]
    Version {
        /// The refusing side's.
        ours: u32,
        /// The refused side's.
        yours: u32,
    },
    /// The client asks for another model, or insists on one.
    #[error(
        "it serves model {served}; you ask for {asked}: run again for what is served, or correct `model` in the client's configuration"
    )]
    OtherModel {
        /// The model that is asked for, by name or hash.
        asked: String,
        /// The models that are served to this client.
        served: String,
    },
    /// The client does not say which of several models, or insists on weights that several have.
    #[error(
        "it serves model {served}: say which, as `model = \"NAME\"` in the client's configuration"
    )]
    WhichModel {
        /// The models that are served to this client.
        served: String,
    },
    /// Correlations would come from elsewhere.
    #[error(
        "it takes correlations from {ours}, you from {yours}; give both sides the same `source`"
    )]
    OtherSource {
        /// The refusing side's.
        ours: Source,
        /// The refused side's.
        yours: Source,
    },
    /// The dealer cannot use the server's description of its model.
    #[error("its model is not usable: {0}")]
    Card(String),
    /// The two trace different plans from one description.
    #[error("it traces plan {ours}, you {yours}; run the same version of sotto everywhere")]
    OtherPlan {
        /// The refusing side's, shortened.
        ours: String,
        /// The refused side's, shortened.
        yours: String,
    },
    /// A request that is not for this role.
    #[error("only a {0} may ask for this; compare the lists of its configuration")]
    NotYourRole(String),
    /// The other party of a pair is unknown.
    #[error("it does not know {0}; add it to the dealer's lists")]
    Unknown(String),
    /// No server has announced this plan.
    #[error("{server} has not announced plan {plan}; start the server first")]
    NotAnnounced {
        /// The server.
        server: String,
        /// The plan, shortened.
        plan: String,
    },
    /// The dealer was restarted or the model replaced: what was dealt or masked before is of no use.
    #[error("the dealer was restarted or the model replaced; connect again")]
    Stale,
    /// The dealer keeps no more plans of this server.
    #[error(
        "it keeps no more plans of this server; end what still uses older ones, or restart the dealer"
    )]
    TooManyPlans,
    /// The server cannot reach its dealer.
    #[error("it has no dealer: {0}")]
    NoDealer(String),
    /// The server got no correlations in time.
    #[error("it has no correlated randomness: {0}; start the dealer, or raise `deadline`")]
    Exhausted(String),
    /// The model takes something else.
    #[error("it takes {0}")]
    OtherInput(String),
    /// A text's length is none of the model's.
    #[error("a text of {rows} tokens; its model takes 1 to {most}")]
    Length {
        /// The length.
        rows: u32,
        /// The longest.
        most: u32,
    },
    /// A hidden length, which the server does not offer.
    #[error(
        "it serves texts of public lengths alone; set `length = \"hidden\"` there, or `length = \"public\"` here, \
         which tells it how many tokens each text has"
    )]
    PublicLength,
    /// A bucket that the model does not have.
    #[error("{0} tokens are no bucket of its model; run the same version of sotto everywhere")]
    Bucket(u32),
    /// A text is too long for the server's memory.
    #[error(
        "a text of {rows} tokens needs {needed} MiB of what `memory` has for the model there; shorten it, or raise that"
    )]
    Memory {
        /// The length.
        rows: u32,
        /// What it needs of the model's part of the memory, in MiB.
        needed: u64,
    },
    /// As many lengths of texts are in use as there is room for.
    #[error(
        "texts of {0} other lengths are in use, and there is no room for more; try again, or raise `memory` there"
    )]
    Lengths(usize),
    /// All places for batches are taken.
    #[error(
        "all {0} batches that it has memory for are in use; try again, or raise `memory` there"
    )]
    Busy(usize),
    /// A number that is used, skipped or somebody else's.
    #[error("batch {0} is burnt")]
    Burnt(u64),
    /// A batch on a disk that has no other half.
    #[error(
        "it keeps no such batch: used, given up for a newer one, or of a folder that was restored"
    )]
    NotKept,
    /// The client's images are used up.
    #[error("{used} of {quota} images are used up; ask the server's operator for more")]
    Quota {
        /// Images charged so far.
        used: u64,
        /// Images allowed.
        quota: u64,
    },
    /// Too many images, or too many batches that were asked for and not used.
    #[error("too many requests; try again in {0} s")]
    Rate(u64),
}

impl Refusal {
    /// Whether the same request cannot succeed before somebody changes something.
    pub fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::Stale
                | Self::NotAnnounced { .. }
                | Self::Busy(_)
                | Self::Lengths(_)
                | Self::Burnt(_)
                | Self::NotKept
        )
    }
}
