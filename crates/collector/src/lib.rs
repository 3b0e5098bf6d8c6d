//! The collector: asks the leader for a batch, opens both shares, and says what they mean.
//!
//! [`window`] picks the batch to ask for, [`collect`] carries the collection job to its end,
//! [`open`] puts the two aggregate shares together, [`release`] turns the counts into estimates
//! with their guarantees, [`proofs`] fetches the proof that both logs have it, and [`present`] shows them to people and machines. [`doctor`] asks
//! before all that whether the leader holds the same.

pub mod collect;
pub mod command;
pub mod doctor;
pub mod open;
pub mod present;
pub mod proofs;
pub mod release;
pub mod secrets;
pub mod window;
