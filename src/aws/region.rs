//! The Region that this machine has where a configuration names none, as far as it can be told without the network.

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::ProfileFileRegionProvider;

/// Whether the environment, a profile of the AWS configuration files, or the instance itself names a Region.
pub(crate) fn is_known(profile: Option<&str>) -> bool {
    let mut files = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        files = files.profile_name(profile);
    }
    let files = files.build();
    let named = async { EnvironmentVariableRegionProvider::new().region().await.or(files.region().await) };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    // Where it cannot be looked for, nothing is said against it.
    runtime.map_or(true, |runtime| runtime.block_on(named).is_some()) || is_instance()
}

/// Whether this is an instance of EC2 that tells its Region, which the SDK asks it for. Source: the Amazon EC2 User Guide,
/// "Identify EC2 instances", by the maker of the system; the SDKs' reference, `AWS_EC2_METADATA_DISABLED`.
fn is_instance() -> bool {
    let disabled = std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    let maker = || std::fs::read_to_string("/sys/class/dmi/id/sys_vendor").unwrap_or_default();
    !disabled && maker().trim() == "Amazon EC2"
}
