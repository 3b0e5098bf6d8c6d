//! Messages as lists of fields, and every way to break one at a field.

use sottovoce_dap::{
    aggregate::{AggregationJobContinueReq, AggregationJobInitReq},
    codec::Encode,
    collect::{AggregateShareReq, CollectionJobReq},
    hpke::HpkeCiphertext,
    upload::{Report, ReportMetadata},
};

/// A message in its fields, and after which of them it may end.
#[derive(Default)]
pub(crate) struct Message {
    fields: Vec<Field>,
    ends: Vec<usize>,
}

struct Field {
    name: &'static str,
    /// Bytes of the length that stands before it.
    prefix: usize,
    body: Vec<u8>,
}

impl Message {
    /// One report, as an upload of it alone.
    pub(crate) fn upload(report: &Report) -> Self {
        Self::default()
            .end()
            .metadata(&report.report_metadata)
            .vector("public share", 4, report.public_share.as_bytes())
            .ciphertext(&report.leader_encrypted_input_share)
            .ciphertext(&report.helper_encrypted_input_share)
            .checked(report)
    }

    pub(crate) fn aggregation_job(job: &AggregationJobInitReq) -> Self {
        let mut message = Self::default()
            .fixed("verification key ID", &job.verification_key_id)
            .vector("aggregation parameter", 4, job.agg_param.as_bytes())
            .vector("extensions", 2, &job.extensions.to_bytes()[2..])
            .end();
        for init in &job.verify_inits {
            let share = &init.report_share;
            message = message
                .metadata(&share.report_metadata)
                .vector("public share", 4, share.public_share.as_bytes())
                .ciphertext(&share.encrypted_input_share)
                .vector("verification message", 4, init.payload.as_bytes())
                .end();
        }
        message.checked(job)
    }

    pub(crate) fn continuation(request: &AggregationJobContinueReq) -> Self {
        let mut message = Self::default().fixed("step", &request.step).end();
        for verify in &request.verify_continues {
            message = message
                .fixed("report ID", &verify.report_id)
                .vector("verification message", 4, verify.payload.as_bytes())
                .end();
        }
        message.checked(request)
    }

    pub(crate) fn collection_job(request: &CollectionJobReq) -> Self {
        Self::default().collection(request).checked(request)
    }

    pub(crate) fn aggregate_share(request: &AggregateShareReq) -> Self {
        let selector = request.batch_selector.to_bytes();
        Self::default()
            .collection(&request.collection_job_req)
            .fixed("selector's batch mode", &selector[0])
            .vector("batch selector", 2, &selector[3..])
            .fixed("report count", &request.report_count)
            .fixed("checksum", &request.checksum)
            .checked(request)
    }

    fn collection(self, request: &CollectionJobReq) -> Self {
        let query = request.query.to_bytes();
        self.fixed("query's batch mode", &query[0])
            .vector("query", 2, &query[3..])
            .vector("aggregation parameter", 4, request.agg_param.as_bytes())
            .vector("extensions", 2, &request.extensions.to_bytes()[2..])
    }

    fn metadata(self, metadata: &ReportMetadata) -> Self {
        self.fixed("report ID", &metadata.report_id).fixed("time", &metadata.time).vector(
            "public extensions",
            2,
            &metadata.public_extensions.to_bytes()[2..],
        )
    }

    fn ciphertext(self, sealed: &HpkeCiphertext) -> Self {
        let bytes = sealed.to_bytes();
        let enc = 3 + usize::from(u16::from_be_bytes([bytes[1], bytes[2]]));
        self.fixed("config ID", &bytes[0]).vector("encapsulated key", 2, &bytes[3..enc]).vector(
            "ciphertext",
            4,
            sealed.payload.as_bytes(),
        )
    }

    fn fixed(mut self, name: &'static str, value: &impl Encode) -> Self {
        self.fields.push(Field { name, prefix: 0, body: value.to_bytes() });
        self
    }

    fn vector(mut self, name: &'static str, prefix: usize, body: &[u8]) -> Self {
        self.fields.push(Field { name, prefix, body: body.to_vec() });
        self
    }

    /// The message may end here.
    fn end(mut self) -> Self {
        self.ends.push(self.fields.len());
        self
    }

    /// The fields are those of the message.
    fn checked(self, message: &impl Encode) -> Self {
        assert_eq!(self.bytes(None), message.to_bytes());
        self
    }

    /// The encoding, with one field's length replaced by a lie.
    fn bytes(&self, lie: Option<(usize, u64)>) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, field) in self.fields.iter().enumerate() {
            let length = match lie {
                Some((at, lie)) if at == number => lie,
                _ => field.body.len() as u64,
            };
            out.extend(&length.to_be_bytes()[8 - field.prefix..]);
            out.extend(&field.body);
        }
        out
    }

    /// The message broken in every way at each field, with what was done. None of them decodes.
    pub(crate) fn broken(&self) -> Vec<(String, Vec<u8>)> {
        let whole = self.bytes(None);
        let mut broken = vec![("a byte follows".to_owned(), [&whole[..], &[0]].concat())];
        let mut start = 0;
        for (number, field) in self.fields.iter().enumerate() {
            let name = field.name;
            let (body, end) = (start + field.prefix, start + field.prefix + field.body.len());
            // Nothing of the field, half of its length, its length only, all but its last byte.
            let mut cuts = vec![start, start + field.prefix / 2, body, end - 1];
            cuts.retain(|cut| *cut < end && (*cut > start || !self.ends.contains(&number)));
            cuts.dedup();
            for cut in cuts {
                broken
                    .push((format!("ends {} into the {name}", cut - start), whole[..cut].to_vec()));
            }
            let length = field.body.len() as u64;
            let largest = u64::MAX >> (64 - 8 * field.prefix.max(1));
            for lie in [0, length.wrapping_sub(1), length + 1, largest] {
                if field.prefix > 0 && lie <= largest && lie != length {
                    let said = format!("says that the {name} has {lie} bytes, not {length}");
                    broken.push((said, self.bytes(Some((number, lie)))));
                }
            }
            start = end;
        }
        broken
    }
}
