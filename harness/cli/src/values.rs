//! The engine's enums as values of options: names that a shell can complete, each with a line of help.

use std::num::NonZero;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use tlsboot_core::name::UnknownName;
use tlsboot_core::scenario::Profile;
use tlsboot_engine::cluster::ProviderKind;
use tlsboot_engine::components::SourceKind;
use tlsboot_engine::report::Format;

/// A number of things, of which there must be one.
pub(super) fn at_least_one(text: &str) -> Result<NonZero<usize>, String> {
    text.parse().map_err(|_| "must be a whole number, 1 or more".to_owned())
}

pub(super) fn profile() -> impl TypedValueParser<Value = Profile> {
    by_name(Profile::ALL, Profile::name, |profile| match profile {
        Profile::Core => "The main promises, in minutes",
        Profile::Full => "Everything that takes no longer than a few minutes each",
        Profile::Slow => "Also what takes a quarter of an hour or more",
    })
}

pub(super) fn provider() -> impl TypedValueParser<Value = ProviderKind> {
    by_name(ProviderKind::ALL, ProviderKind::name, |provider| match provider {
        ProviderKind::Local => "Plain processes on this machine",
        ProviderKind::Kind => "Containers, created by the `kind` command",
        ProviderKind::K3s => "The k3s image as a control plane, in a container",
    })
}

pub(super) fn format() -> impl TypedValueParser<Value = Format> {
    by_name(Format::ALL, Format::name, |format| match format {
        Format::Terminal => "A summary on standard output, failures in full",
        Format::Json => "`result.json`: everything, for programs",
        Format::Junit => "`junit.xml`: one suite for each target",
        Format::Html => "`report.html`: one self-contained page with the timelines",
        Format::Markdown => "`summary.md`: a matrix and the failures, as a step summary of GitHub Actions shows it",
        Format::Github => "Annotations for GitHub Actions on standard output",
    })
}

pub(super) fn source() -> impl TypedValueParser<Value = SourceKind> {
    by_name(SourceKind::ALL, SourceKind::name, |source| match source {
        SourceKind::Store => "The local store, without fetching anything",
        SourceKind::Mirror => "A folder or web server with the store's layout: TLSBOOT_MIRROR",
        SourceKind::Release => "The official release of Kubernetes and etcd",
        SourceKind::Build => "A Go build from the modules of Kubernetes and etcd",
    })
}

fn by_name<T>(
    all: &[T],
    name: fn(T) -> &'static str,
    about: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> + use<T>
where
    T: Copy + Send + Sync + FromStr<Err = UnknownName> + 'static,
{
    let values = all.iter().map(|one| PossibleValue::new(name(*one)).help(about(*one)));
    PossibleValuesParser::new(values).try_map(|name: String| name.parse::<T>())
}
