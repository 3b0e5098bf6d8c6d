//! The collector: asks the leader for a batch, opens both shares, and says what they mean. It knows no terminal.
//!
//! [`collector`] is all of it for one program: it gives releases, and says meanwhile how it goes on. Below it,
//! [`window`] picks the batch to ask for, [`collect`] carries the collection job to its end,
//! [`open`] puts the two aggregate shares together, [`release`] turns the counts into estimates
//! with their guarantees, [`proofs`] fetches the proof that both logs have it, [`present`] shows them to
//! people, and [`document`] is what machines read.
//!
//! The last day whose reports have had an hour to arrive:
//!
//! ```
//! use sottovoce_collector::window::choose;
//! use sottovoce_dap::time::{Time, TimePrecision};
//!
//! let days = TimePrecision::from_seconds(86_400).expect("not zero").into();
//! let noon_of_the_third_day = 2 * 86_400 + 43_200;
//! let interval = choose(days, 3600, None, 1, noon_of_the_third_day)?;
//! assert_eq!(interval.start(), Time(1));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

pub mod collect;
pub mod collector;
pub mod document;
pub mod open;
pub mod present;
pub mod proofs;
pub mod release;
pub mod secrets;
pub mod window;
