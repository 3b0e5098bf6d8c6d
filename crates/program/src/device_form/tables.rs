//! The tables of a program file in compact bytes, field by field.

use super::codec::{Compact, FormReader, TooLong};
use crate::{
    asking::AskingTable,
    file::{
        BudgetTable, CentralTable, DeviceTable, DimensionTable, File, LogTable, MetricTable,
        NoiseTable, PrivacyTable, RuleTable,
    },
    profile::ProfileTable,
};
use sottovoce_dap::codec::DecodeError;

/// The fields of a table, in the order in which they are written. The compiler refuses a list with a field missing.
macro_rules! tables {
    ($($table:ident { $($field:ident),+ $(,)? })+) => {$(
        impl Compact for $table {
            fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
                let Self { $($field),+ } = self;
                $($field.write(out)?;)+
                Ok(())
            }

            fn read(form: &mut FormReader<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $($field: Compact::read(form)?),+ })
            }
        }
    )+};
}

tables! {
    File {
        name, kind, leader, helper, collector, window, week_begins, grace, min_batch_size, batch_mode, starts, ends,
        privacy, budget, log, device, asking, profile, dimensions, metrics,
    }
    PrivacyTable { epsilon0, epsilon, delta, reserve, aggregator_noise }
    BudgetTable { period, windows, local, central }
    CentralTable { epsilon, delta }
    LogTable { leader, helper, witnesses, quorum, required_by }
    DeviceTable { jitter }
    NoiseTable { kind, scale, sigma }
    AskingTable {
        low_confidence, contradiction, sample, cool_down, per_day, per_week, informative_first,
    }
    ProfileTable { half_life }
    DimensionTable { kind, values, share, salt }
    MetricTable {
        kind, question, dimensions, epsilon0, stars, levels, candidates, aspects, signals, categories, severities, joins,
        max, buckets, of, weights, rules, allow_many_bins, randomizer,
    }
    RuleTable { category, words, pattern }
}
