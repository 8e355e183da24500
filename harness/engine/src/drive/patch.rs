//! Changes to CSRs, as made by approvers, signers and users without the right to (catalogue C-14 to C-17). Any answer
//! is acceptable here; the next expectation says what it should be.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Api, Patch, PatchParams, PostParams, ResourceExt};
use serde_json::{Value, json};

use super::csr::find;
use super::request::{answered, client_of, refusal};
use super::{Done, DriveError, Stage};
use tlsboot_core::history::event::Answer;
use tlsboot_core::scenario::stimulus::patch_csr::{CsrSubresource, PatchCsr, PatchVerb};

pub(super) async fn patch(change: &PatchCsr, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let csrs = Api::<CertificateSigningRequest>::all(stage.cluster.base().admin());
    let csr = find(change.pick(), &csrs, stage, |_| true).await?;
    let name = csr.name_any();
    let api = Api::<CertificateSigningRequest>::all(client_of(&change.by, stage).await?);
    let patched = if change.verb == PatchVerb::Update {
        let mut whole = serde_json::to_value(&csr).map_err(std::io::Error::other)?;
        merge(&mut whole, &change.patch);
        let whole = serde_json::from_value(whole).map_err(std::io::Error::other)?;
        let how = PostParams::default();
        match change.subresource {
            None => api.replace(&name, &how, &whole).await,
            Some(CsrSubresource::Status) => api.replace_status(&name, &how, &whole).await,
            Some(CsrSubresource::Approval) => api.replace_subresource("approval", &name, &how, &whole).await,
        }
    } else {
        let (how, patch) = (PatchParams::default(), Patch::Merge(&change.patch));
        match change.subresource {
            None => api.patch(&name, &how, &patch).await,
            Some(CsrSubresource::Approval) => api.patch_approval(&name, &how, &patch).await,
            Some(CsrSubresource::Status) => api.patch_status(&name, &how, &patch).await,
        }
    };
    let answer = match patched {
        Ok(_) => Answer { code: 200, reason: String::new(), message: String::new(), object: Some(name) },
        Err(error) => refusal(error)?,
    };
    Ok(answered(answer))
}

/// RFC 7396: objects are merged, everything else is replaced, and null removes.
fn merge(whole: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *whole = patch.clone();
        return;
    };
    if !whole.is_object() {
        *whole = json!({});
    }
    for (name, change) in patch {
        match change {
            Value::Null => {
                whole.as_object_mut().map(|whole| whole.remove(name));
            }
            change => merge(&mut whole[name], change),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_replaces_adds_and_takes_away() {
        let mut whole = json!({"a": {"b": 1, "c": [1, 2]}, "d": 3});
        merge(&mut whole, &json!({"a": {"b": null, "c": [3], "e": {"f": 4}}, "d": {"g": 5}}));
        assert_eq!(whole, json!({"a": {"c": [3], "e": {"f": 4}}, "d": {"g": 5}}));
    }
}
