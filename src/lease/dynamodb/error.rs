//! What a failed call to the lease table means, and what a person can do about it.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::RequestId;

use crate::aws::error::{CREDENTIALS_ADVICE, Failure, Meaning};
use crate::lease::LeaseKey;
use crate::lease::table::TableError;

/// What a call was about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// The table's name.
    pub(crate) table: &'a str,
    /// The API operation; with `dynamodb:` before it, the IAM action.
    pub(crate) action: &'static str,
    /// The row, where it is one.
    pub(crate) row: Option<&'a LeaseKey>,
}

impl Target<'_> {
    /// Reads an error of the SDK.
    pub(crate) fn error<E>(&self, error: &SdkError<E>) -> TableError
    where
        E: ProvideErrorMetadata + RequestId + Error + 'static,
    {
        self.named(&Failure::read(error))
    }

    fn named(&self, failure: &Failure) -> TableError {
        let Self { table, action, row } = self;
        let reason = self.reason(failure);
        let table = (*table).to_owned();
        match (failure.code.as_str(), failure.meaning) {
            ("ResourceNotFoundException", _) => TableError::Unusable {
                reason,
                advice:
                    "it is gone, or the region, the account or the endpoint is another: restore it, or start again \
                         to have it checked"
                        .to_owned(),
                table,
            },
            (_, Meaning::Throttled | Meaning::Retry) => TableError::Retry { table, reason },
            (_, Meaning::Denied) => TableError::Denied { advice: self.advice(failure), table, reason },
            // Of one row: the others may be sound, and a person can repair this one while they go on.
            (_, Meaning::Invalid) if row.is_some() => TableError::Denied {
                advice: format!("compare the row and the key of table/{table} with the format of the KCL's leases"),
                table,
                reason,
            },
            (_, Meaning::Invalid) => TableError::Unusable {
                advice: format!("check the table's name, {table:?}, and its key; the call was dynamodb:{action}"),
                table,
                reason,
            },
        }
    }

    fn reason(&self, failure: &Failure) -> String {
        let Failure { code, message, request_id, .. } = failure;
        let on = self.row.map(|row| format!(" of {row}")).unwrap_or_default();
        let said = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        let request = request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default();
        format!("{}{on}: {code}{said}{request}", self.action)
    }

    fn advice(&self, failure: &Failure) -> String {
        let Self { table, action, .. } = self;
        let names_a_key = failure.message.as_deref().is_some_and(|message| message.contains("kms:"));
        match failure.code.as_str() {
            "KMSAccessDeniedException" => kms_grant(table),
            "AccessDeniedException" | "AccessDenied" if names_a_key => kms_grant(table),
            "AccessDeniedException" | "AccessDenied" => {
                format!("grant dynamodb:{action} on table/{table} to the role that runs this")
            }
            "KMSDisabledException" | "KMSInvalidStateException" | "KMSNotFoundException" => {
                format!("enable or restore the KMS key that encrypts table/{table}")
            }
            "KMSOptInRequired" | "OptInRequired" | "SubscriptionRequiredException" => {
                "sign the account up for the service that the message names".to_owned()
            }
            _ => CREDENTIALS_ADVICE.to_owned(),
        }
    }

    /// The answer to a lease whose position is none of a shard.
    pub(super) fn no_position(&self) -> TableError {
        TableError::Unusable {
            table: self.table.to_owned(),
            reason: format!("{}: a position in a file is none in a shard", self.action),
            advice: "use leases for streams only".to_owned(),
        }
    }

    /// The answer to a row that was written and cannot be read.
    pub(super) fn unreadable(&self) -> TableError {
        let row = self.row.map(ToString::to_string).unwrap_or_default();
        TableError::Denied {
            table: self.table.to_owned(),
            reason: format!("{}: the row {row} was written, and is no lease that is readable", self.action),
            advice: format!("repair the row {row} of table/{}, or delete it", self.table),
        }
    }
}

fn kms_grant(table: &str) -> String {
    format!("grant kms:Decrypt on the key that encrypts table/{table} to the role that runs this")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::error::meaning_of;

    #[test]
    fn each_error_says_what_comes_next() {
        let key = LeaseKey::parse("shardId-000000000001");
        let check = |row: bool, code: &str, status: u16, message: &str, kind: &str, expected: &str| {
            let target = Target { table: "leases", action: "UpdateItem", row: row.then_some(&key) };
            let failure = Failure {
                meaning: meaning_of(Some(code), status),
                code: code.to_owned(),
                message: Some(message.to_owned()),
                request_id: None,
            };
            let error = target.named(&failure);
            let found = format!("{error:?}");
            assert!(found.starts_with(kind), "{code} {status}: {found} is no {kind}");
            assert!(error.to_string().contains(expected), "{code} {status}: {error} lacks {expected:?}");
            assert!(error.to_string().contains(code) && error.to_string().contains("leases"), "{error}");
        };
        for code in ["ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"] {
            check(true, code, 400, "slow down", "Retry", "does not answer: UpdateItem of shardId-000000000001");
        }
        for (code, status) in [("InternalServerError", 500), ("", 503), ("TransactionConflictException", 400)] {
            check(true, code, status, "", "Retry", "does not answer");
        }
        let grant = "grant dynamodb:UpdateItem on table/leases to the role that runs this";
        check(true, "AccessDeniedException", 400, "no", "Denied", grant);
        check(
            true,
            "AccessDeniedException",
            400,
            "not authorized to perform: kms:Decrypt",
            "Denied",
            "grant kms:Decrypt",
        );
        check(true, "KMSDisabledException", 400, "", "Denied", "enable or restore the KMS key");
        for code in ["ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"] {
            check(false, code, 400, "", "Denied", "credentials");
        }
        check(true, "ResourceNotFoundException", 400, "", "Unusable", "restore it");
        check(true, "ValidationException", 400, "key element", "Denied", "compare the row");
        check(false, "ValidationException", 400, "bad name", "Unusable", "check the table's name");
    }
}
