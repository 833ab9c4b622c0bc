//! Damaged user stores, recognised by their errors.

use super::{error::MatrixError, trouble::chain};

/// Error texts of SQLite and the SDK that mean lasting damage; not a full disk, missing rights or a lock.
const DAMAGES: [&str; 6] = [
    "database disk image is malformed",
    "file is not a database",
    "failed to deserialize",
    "failed to decode",
    "error decrypting",
    "no such table",
];

/// Returns whether an error says that the user's own store is damaged.
pub(super) fn is_damage(error: &MatrixError) -> bool {
    let said = match error {
        MatrixError::UserStore { cause, .. } => cause.to_lowercase(),
        MatrixError::Sdk(
            error @ (matrix_sdk::Error::StateStore(_)
            | matrix_sdk::Error::CryptoStoreError(_)
            | matrix_sdk::Error::OlmError(_)),
        ) => chain(error).to_lowercase(),
        _ => return false,
    };
    DAMAGES.iter().any(|damage| said.contains(damage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_damaged_by_what_no_waiting_mends() {
        let table = [
            ("database disk image is malformed", true),
            ("Error code 26: file is not a database", true),
            ("unable to open database file: /data/users/x", false),
            ("database or disk is full", false),
            ("database is locked", false),
            ("attempt to write a readonly database", false),
        ];
        for (cause, expected) in table {
            let [user, dir, cause] = ["@a:hs", "/data", cause].map(str::to_owned);
            let error = MatrixError::UserStore { user, dir, cause: cause.clone() };
            assert_eq!(is_damage(&error), expected, "{cause}");
            assert_eq!(error.is_passing(), !expected, "what is no damage is waited out: {cause}");
        }
    }
}
