//! Parts of the protocol that a bench leaves out to see what they cost (`make price`).
//!
//! Compiled in only with the feature `price`, which a release never has: without any of these parts records are lost and
//! doubled. `ONCESINK_WITHOUT` names what is left out: `fence`, `ledger`, `transaction`, separated by commas.

/// Whether this part is left out.
#[cfg(not(feature = "price"))]
#[inline(always)]
pub const fn without(_part: &str) -> bool {
    false
}

/// Whether this part is left out.
#[cfg(feature = "price")]
pub fn without(part: &str) -> bool {
    use std::sync::OnceLock;

    static PARTS: OnceLock<String> = OnceLock::new();
    let parts = PARTS.get_or_init(|| std::env::var("ONCESINK_WITHOUT").unwrap_or_default());
    parts.split(',').any(|left_out| left_out == part)
}
