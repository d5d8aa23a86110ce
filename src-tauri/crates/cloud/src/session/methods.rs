//! The ways to log in, linked.
//!
//! The SDK finds them in a list that the linker makes, and a crate that nobody names is not linked. Its build script is to name
//! them; as it is published, it names none.

use openstack_sdk_auth_applicationcredential as _;
use openstack_sdk_auth_oidcaccesstoken as _;
use openstack_sdk_auth_oidcclientcredentials as _;
use openstack_sdk_auth_password as _;
use openstack_sdk_auth_token as _;
use openstack_sdk_auth_totp as _;
use openstack_sdk_auth_websso as _;

#[cfg(test)]
mod tests {
    use crate::AuthType;

    #[test]
    fn every_way_to_log_in_is_linked() {
        let linked: Vec<_> = inventory::iter::<openstack_sdk_auth_core::AuthPluginRegistration>()
            .flat_map(|it| it.method.get_supported_auth_methods())
            .collect();
        for way in [
            AuthType::Password,
            AuthType::ApplicationCredential,
            AuthType::Token,
            AuthType::Totp,
            AuthType::OidcAccessToken,
            AuthType::OidcClientCredentials,
            AuthType::WebSso,
        ] {
            assert!(
                linked.contains(&way.as_str()),
                "{}: {linked:?}",
                way.as_str()
            );
        }
    }
}
