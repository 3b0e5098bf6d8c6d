//! Figures as people read them.
//!
//! An unbiased estimate can lie where no true value can: a count below zero, a share above 1. Machines
//! get it as it is. People are shown the value of its interval that is nearest, and never a zero with
//! a sign.

/// A number with so many digits after the point.
pub fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.bytes().all(|byte| matches!(byte, b'0' | b'.')) => zero.to_owned(),
        _ => text,
    }
}

/// A share of 1.
pub fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0, 1))
}

/// A difference of shares of 1, in percentage points.
pub fn points(difference: f64) -> String {
    format!("{} pp", number(difference * 100.0, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_no_sign_and_what_is_below_it_does() {
        for (value, shown) in [(-0.000_1, "0.0 %"), (0.0, "0.0 %"), (-0.0, "0.0 %")] {
            assert_eq!(percent(value), shown);
        }
        assert_eq!(percent(-0.001), "-0.1 %");
        assert_eq!((number(-0.4, 0), number(-0.6, 0)), ("0".to_owned(), "-1".to_owned()));
        assert_eq!(points(-0.000_4), "0.0 pp");
    }
}
