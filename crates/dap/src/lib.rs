//! The wire: draft-ietf-ppm-dap-19, for VDAFs of one round (draft-irtf-cfrg-vdaf-20).
//!
//! Sections are cited as `§4.5.2` and mean that draft; its version appears nowhere else but in
//! [`VERSION`], which every domain separation tag is built from.
//!
//! Read in the order of a report's life: [`ids`], [`time`] and [`codec`] are the alphabet,
//! [`task`] is what all parties agree on, then one file per interaction: [`upload`],
//! [`aggregate`], [`collect`]. [`hpke`] and [`vdaf`] are the two kinds of cryptography,
//! [`problem`] is how a server says no, [`printable`] what of a peer's words is shown, and [`exchange`] is each request with the response it
//! wants, without a socket.
//!
//! Nothing here does input or output, reads a clock or knows who we are.
//!
//! Messages are read strictly, and written as they were read:
//!
//! ```
//! use sottovoce_dap::{
//!     codec::{Decode, Encode},
//!     upload::ReportError,
//! };
//!
//! let error = ReportError::from_bytes(&[2])?;
//! assert_eq!(error, ReportError::ReportReplayed);
//! assert_eq!(error.to_bytes(), [2]);
//! assert!(ReportError::from_bytes(&[2, 0]).is_err(), "a byte too many");
//! # Ok::<_, sottovoce_dap::codec::DecodeError>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

pub mod aggregate;
pub mod agreement;
pub mod bearer_token;
pub mod codec;
pub mod collect;
pub mod exchange;
pub mod extension;
#[cfg(test)]
mod hostile;
pub mod hpke;
pub mod hpke_config_list;
pub mod ids;
pub mod media_type;
pub mod printable;
pub mod problem;
pub mod role;
pub mod task;
pub mod time;
pub mod upload;
pub mod vdaf;

/// The draft that these messages are of, as it stands in domain separation tags (§4.4.2).
pub const VERSION: &str = "dap-19";

#[cfg(test)]
mod tests {
    use super::{collect::aggregate_share_info, ids::TaskId, role::Role, upload};

    /// Written out, so that no tag changes unnoticed.
    #[test]
    fn domain_separation_tags_are_the_drafts() {
        assert_eq!(upload::input_share_info(Role::Leader), b"dap-19 input share\x01\x02");
        assert_eq!(upload::input_share_info(Role::Helper), b"dap-19 input share\x01\x03");
        assert_eq!(aggregate_share_info(Role::Leader), b"dap-19 aggregate share\x02\x00");
        assert_eq!(aggregate_share_info(Role::Helper), b"dap-19 aggregate share\x03\x00");
        let context = upload::vdaf_context(&TaskId::new([7; 32]));
        assert_eq!(context, [b"dap-19".as_slice(), &[7; 32]].concat());
    }
}
