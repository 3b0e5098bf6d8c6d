//! What operators did.

use super::*;
use crate::store::OperatorCommand;

pub(crate) fn commands_of_operators_are_kept_in_their_order_and_the_newest_are_told(
    bench: &dyn Bench,
) {
    let command = |seconds, what: &str| OperatorCommand {
        time: seconds_later(seconds),
        who: "ünal (uid 1000)".to_owned(),
        what: what.to_owned(),
    };
    // A clock that was put back changes no order.
    let all = [command(2, "hpke rotate"), command(1, "it's; DROP TABLE x"), command(1, "")];
    let store = bench.open();
    assert_eq!(store.operator_commands(10), Ok(Vec::new()));
    for command in &all {
        assert_eq!(store.write_operator_command(command), Ok(()));
    }
    drop(store);
    let store = bench.open();
    assert_eq!(store.operator_commands(10), Ok(all.to_vec()));
    assert_eq!(store.operator_commands(2), Ok(all[1..].to_vec()));
}
