//! The proxy through which an API server is reached, if any: the same as in kubectl.
//!
//! kube's own implementation is not used: in 5.0.0 it compares `NO_PROXY` with the proxy's name instead of the
//! server's, and uses a proxy from the environment also for servers on this machine, which Go never does.

use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The proxy: the kubeconfig's `proxy-url`, or else that of the environment.
///
/// # Errors
/// A URL that cannot be parsed or is of an unsupported kind. The message shows no password.
pub(super) fn of(server: &Uri, proxy_url: Option<&str>) -> Result<Option<Uri>, String> {
    let first = |names: [&str; 2]| {
        let mut values = names.into_iter().filter_map(|name| std::env::var(name).ok());
        values.find(|value| !value.trim().is_empty()).unwrap_or_default()
    };
    match proxy_url.filter(|url| !url.is_empty()) {
        Some(url) => parse(url).map(Some).map_err(|reason| format!("its proxy-url: {reason}")),
        None => from_environment(server, &first(["HTTPS_PROXY", "https_proxy"]), &first(["NO_PROXY", "no_proxy"])),
    }
}

/// Servers on this machine are never reached through it, and neither are those that `NO_PROXY` excludes: names and
/// everything below them, addresses, networks, `*`.
fn from_environment(server: &Uri, https_proxy: &str, no_proxy: &str) -> Result<Option<Uri>, String> {
    if https_proxy.is_empty() || is_on_this_machine(server) || server.scheme_str() != Some("https") {
        return Ok(None);
    }
    let no_proxy: Vec<&str> = no_proxy.split(',').map(|name| without_port(name.trim(), server)).collect();
    // Only whether the matcher finds a proxy matters, not which.
    let matcher = Matcher::builder().https("http://proxy.invalid").no(no_proxy.join(",")).build();
    match matcher.intercept(server) {
        None => Ok(None),
        Some(_) => parse(https_proxy).map(Some).map_err(|reason| format!("HTTPS_PROXY: {reason}")),
    }
}

/// `host:port` excludes only that port; an entry for another port is no exception for this server.
fn without_port<'a>(name: &'a str, server: &Uri) -> &'a str {
    match name.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse::<u16>() {
            Ok(port) if port == server.port_u16().unwrap_or(443) => host,
            Ok(_) => "",
            Err(_) => name,
        },
        _ => name,
    }
}

fn is_on_this_machine(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.to_canonical().is_loopback())
}

fn parse(url: &str) -> Result<Uri, String> {
    // Like curl and Go: a bare name is that of an HTTP proxy.
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let url = match url.strip_prefix("socks5h://") {
        Some(rest) => format!("socks5://{rest}"),
        None => url,
    };
    let uri: Uri = url.parse().map_err(|_| "it is not a URL".to_owned())?;
    match uri.scheme_str() {
        Some("http" | "https" | "socks5") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        other => Err(format!("`{}` is neither http, https nor socks5", other.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PROXY: &str = "http://proxy.example:3128";

    #[rstest]
    #[case::far("https://k8s.example:6443", "", true)]
    #[case::this_machine("https://127.0.0.1:6443", "", false)]
    #[case::by_name("https://localhost:6443", "", false)]
    #[case::v6("https://[::1]:6443", "", false)]
    #[case::plain("http://k8s.example:6443", "", false)]
    #[case::all("https://k8s.example:6443", "*", false)]
    #[case::its_name("https://k8s.example:6443", "other.example, k8s.example", false)]
    #[case::below("https://api.k8s.example:6443", ".k8s.example", false)]
    #[case::below_without_dot("https://api.k8s.example:6443", "k8s.example", false)]
    #[case::another("https://notk8s.example:6443", "k8s.example", true)]
    #[case::its_port("https://k8s.example:6443", "k8s.example:6443", false)]
    #[case::another_port("https://k8s.example:6443", "k8s.example:443", true)]
    #[case::network("https://10.1.2.3:6443", "10.0.0.0/8", false)]
    #[case::another_network("https://10.1.2.3:6443", "192.168.0.0/16", true)]
    #[case::address_v6("https://[fd00::1]:6443", "fd00::1", false)]
    #[case::holes_in_the_list("https://10.1.2.3:6443", ",,", true)]
    #[case::the_proxy_itself("https://k8s.example:6443", "proxy.example", true)]
    fn the_environments_proxy_is_for_what_it_does_not_except(
        #[case] server: &str,
        #[case] no_proxy: &str,
        #[case] through: bool,
    ) {
        let server = server.parse().unwrap();
        let proxy = from_environment(&server, PROXY, no_proxy).unwrap();
        assert_eq!(proxy.is_some(), through, "{proxy:?}");
    }

    #[test]
    fn what_can_not_be_used_is_an_error_only_where_it_is_needed() {
        let (far, near) = ("https://k8s.example".parse().unwrap(), "https://127.0.0.1:1".parse().unwrap());
        for odd in ["ftp://x", "http://us er:se-cret@x", "http://"] {
            assert_eq!(from_environment(&near, odd, ""), Ok(None));
            let said = from_environment(&far, odd, "").unwrap_err();
            assert!(said.starts_with("HTTPS_PROXY: ") && !said.contains("se-cret"), "{said}");
        }
    }

    #[rstest]
    #[case("proxy:3128", "http://proxy:3128/")]
    #[case("socks5h://proxy:1080", "socks5://proxy:1080")]
    #[case("https://proxy", "https://proxy/")]
    fn a_kubeconfigs_proxy_is_used_everywhere(#[case] url: &str, #[case] proxy: &str) {
        let near = "https://127.0.0.1:6443".parse().unwrap();
        let found = of(&near, Some(url)).unwrap().unwrap();
        assert_eq!(found.to_string().trim_end_matches('/'), proxy.trim_end_matches('/'));
    }
}
