//! The command that a kubeconfig names for its user's credentials (`exec`). tlsboot runs it instead of kube, which
//! waits for it without a deadline, reads all of its output, and leaves it running.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, ExecAuthCluster, ExecConfig, ExecInteractiveMode};
use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A command that provides credentials may open a browser to log in.
const WITHIN: Duration = Duration::from_secs(60);
/// The size limit of its output, in bytes: a certificate and its key have a few thousand.
const LARGEST: u64 = 1 << 20;

/// Its output.
#[derive(Deserialize)]
struct ExecCredential {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs it, and returns a kubeconfig user with these credentials.
///
/// # Errors
/// Why there are none, in words that reveal nothing of its output.
pub(super) async fn credentials(exec: &ExecConfig, cluster: Option<ExecAuthCluster>) -> Result<AuthInfo, String> {
    within(exec, cluster, WITHIN).await
}

async fn within(exec: &ExecConfig, cluster: Option<ExecAuthCluster>, within: Duration) -> Result<AuthInfo, String> {
    let command = exec.command.as_deref().unwrap_or_default();
    let hint = exec.install_hint.as_deref().map(|hint| format!("\n  {}", hint.trim())).unwrap_or_default();
    let mut running =
        Running::start(exec, cluster).map_err(|error| format!("`{command}` cannot be run: {error}{hint}"))?;
    let printed = match timeout(within, running.printed()).await {
        Ok(printed) => printed.map_err(|reason| format!("`{command}`, {WHAT}, {reason}"))?,
        Err(_) => {
            return Err(format!(
                "`{command}`, {WHAT}, did not exit within {} s and was stopped: run it by hand to see what it is waiting for",
                within.as_secs()
            ));
        }
    };
    auth_info(&printed)
        .ok_or_else(|| format!("the output of `{command}`, {WHAT}, is not an ExecCredential with credentials"))
}

const WHAT: &str = "the command for its user's credentials";

/// The command and all processes that it started: they end with this.
struct Running {
    child: Child,
    /// It is the leader of its own process group.
    group: Option<Pid>,
}

impl Running {
    fn start(exec: &ExecConfig, cluster: Option<ExecAuthCluster>) -> std::io::Result<Self> {
        let asks = exec.interactive_mode != Some(ExecInteractiveMode::Never);
        let mut command = Command::new(exec.command.as_deref().unwrap_or_default());
        command.args(exec.args.iter().flatten());
        for variable in exec.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
                command.env(name, value);
            }
        }
        let mut spec = json!({"interactive": asks});
        if let Some(cluster) = cluster {
            spec["cluster"] = serde_json::to_value(cluster)?;
        }
        let info = json!({"apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec});
        command.env("KUBERNETES_EXEC_INFO", info.to_string());
        command.stdin(if asks { Stdio::inherit() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        if !asks {
            // A command that prompts needs the terminal, which the foreground group has.
            command.process_group(0);
        }
        let child = command.spawn()?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        Ok(Self { group: pid.filter(|_| !asks), child })
    }

    /// Its output until it exits, which must be successful.
    async fn printed(&mut self) -> Result<Vec<u8>, String> {
        let mut printed = Vec::new();
        if let Some(stdout) = self.child.stdout.take() {
            let read = stdout.take(LARGEST + 1).read_to_end(&mut printed).await;
            read.map_err(|error| error.to_string())?;
        }
        if printed.len() as u64 > LARGEST {
            return Err(format!("prints more than {} MiB", LARGEST >> 20));
        }
        let status = self.child.wait().await.map_err(|error| error.to_string())?;
        match status.success() {
            true => Ok(printed),
            false => Err(format!("failed ({status}): run it by hand to see why")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // None of its processes may be left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Plugins may print YAML, which client-go accepts too.
fn auth_info(printed: &[u8]) -> Option<AuthInfo> {
    let printed: ExecCredential = serde_saphyr::from_slice(printed).ok()?;
    let Status { token, client_certificate_data, client_key_data } = printed.status?;
    let mut auth = AuthInfo::default();
    match (client_certificate_data, client_key_data) {
        (Some(certificate), Some(key)) => {
            auth.client_certificate_data = Some(STANDARD.encode(certificate));
            auth.client_key_data = Some(SecretString::from(STANDARD.encode(key)));
        }
        (None, None) if token.is_some() => {}
        _ => return None,
    }
    auth.token = token.map(SecretString::from);
    Some(auth)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use secrecy::ExposeSecret;
    use tokio::time::Instant;

    use super::*;

    fn sh(script: &str) -> ExecConfig {
        serde_json::from_value(json!({
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
            "command": "sh", "args": ["-c", script], "env": [{"name": "WHO", "value": "me"}],
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn what_it_prints_is_taken() {
        let token = sh(r#"echo "{\"status\": {\"token\": \"$WHO-$(echo "$KUBERNETES_EXEC_INFO" | grep -c v1)\"}}""#);
        let auth = credentials(&token, None).await.unwrap();
        assert_eq!(auth.token.unwrap().expose_secret(), "me-1");
        let pair = sh("echo 'status: {clientCertificateData: c, clientKeyData: k}'");
        let auth = credentials(&pair, None).await.unwrap();
        assert_eq!(auth.client_certificate_data.as_deref(), Some("Yw=="));
    }

    #[rstest]
    #[case::fails("echo se-cret; exit 3", "exit status: 3")]
    #[case::prints_something_else("echo 'status: [se-cret]'", "not an ExecCredential")]
    #[case::half("echo 'status: {clientCertificateData: se-cret}'", "not an ExecCredential")]
    #[case::nothing("true", "not an ExecCredential")]
    #[case::without_end("yes se-cret", "more than 1 MiB")]
    #[tokio::test]
    async fn what_is_no_use_is_not_shown(#[case] script: &str, #[case] words: &str) {
        let said = credentials(&sh(script), None).await.unwrap_err();
        assert!(said.contains(words) && !said.contains("se-cret"), "{said}");
    }

    #[tokio::test]
    async fn nothing_is_left_of_one_that_does_not_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        let script = format!("sleep 600 & echo $! $$ >{}; wait", file.display());
        let start = Instant::now();
        let said = within(&sh(&script), None, Duration::from_secs(1)).await.unwrap_err();
        assert!(said.contains("did not exit within 1 s"), "{said}");
        assert!(start.elapsed() < Duration::from_secs(30));
        let pids = std::fs::read_to_string(&file).unwrap();
        for pid in pids.split_whitespace() {
            let is_there =
                || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
            let deadline = Instant::now() + Duration::from_secs(10);
            while is_there() {
                assert!(Instant::now() < deadline, "{pid} is left");
                tokio::task::yield_now().await;
            }
        }
    }
}
