//! What a path is about: typed names out of its segments. A segment that breaks its grammar is a `BadName` in words.

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use model::{AppEnv, AppRef, BuildId, Code, HostName, TeamName, TenantName, UserError, UserName};

use crate::problem::Problem;

async fn segments<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, Problem> {
    RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| Problem(UserError::new(Code::BadRequest, "the path is not valid UTF-8 when decoded")))
}

/// Reads one segment through the grammar of its type.
fn segment<T>(params: &RawPathParams, name: &str) -> Result<T, Problem>
where
    T: std::str::FromStr<Err = model::name::InvalidName>,
{
    let text = params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value);
    Ok(text.parse()?)
}

macro_rules! at {
    ($($(#[$doc:meta])* $name:ident($inner:ty) = |$params:ident| $read:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) $inner);

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
                let $params = segments(parts, state).await?;
                Ok(Self($read))
            }
        }
    )*};
}

at! {
    /// `{user}`
    AtUser(UserName) = |params| segment(&params, "user")?;
    /// `{tenant}`
    AtTenant(TenantName) = |params| segment(&params, "tenant")?;
    /// `{tenant}` and `{team}`
    AtTeam((TenantName, TeamName)) = |params| (segment(&params, "tenant")?, segment(&params, "team")?);
    /// `{tenant}` and `{app}`
    AtApp(AppRef) = |params| AppRef { tenant: segment(&params, "tenant")?, app: segment(&params, "app")? };
    /// `{tenant}`, `{app}` and `{env}`
    AtEnv(AppEnv) = |params| AppEnv { tenant: segment(&params, "tenant")?, app: segment(&params, "app")?, env: segment(&params, "env")? };
    /// `{host}`
    AtHost(HostName) = |params| segment(&params, "host")?;
    /// `{build}`
    AtBuild(BuildId) = |params| segment(&params, "build")?;
}
