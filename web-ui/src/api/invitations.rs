//! Invitations of a user, and leaving a tenant.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use model::{TenantName, UserName};

use super::documents::{Done, MemberDoc};
use super::membership_documents::InvitationDoc;
use super::tenants::AtMember;
use crate::Web;
use crate::caller::Who;
use crate::path_params::{AtTenant, AtUser};
use crate::problem::Problem;

/// The invitations of a user.
#[utoipa::path(get, path = "/api/v1/users/{user}/invitations", tag = "people", responses((status = 200, body = Vec<InvitationDoc>)))]
pub(crate) async fn invitations(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtUser(user): AtUser,
) -> Result<Json<Vec<InvitationDoc>>, Problem> {
    Ok(Json(web.manager.invitations(&who, &user).await?.into_iter().map(InvitationDoc::from).collect()))
}

/// Accepts an invitation.
#[utoipa::path(post, path = "/api/v1/users/{user}/invitations/{tenant}/{team}", tag = "people", responses((status = 200, body = MemberDoc)))]
pub(crate) async fn accept(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtMember(tenant, team, user): AtMember,
) -> Result<Json<MemberDoc>, Problem> {
    Ok(Json(web.manager.accept_invitation(&who, &user, &tenant, &team).await?.into()))
}

/// Declines an invitation.
#[utoipa::path(delete, path = "/api/v1/users/{user}/invitations/{tenant}/{team}", tag = "people", responses((status = 200, body = Done)))]
pub(crate) async fn decline(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtMember(tenant, team, user): AtMember,
) -> Result<Json<Done>, Problem> {
    web.manager.decline_invitation(&who, &user, &tenant, &team).await?;
    Ok(Json(Done {}))
}

/// A user and a tenant.
pub(crate) struct AtMembership(UserName, TenantName);

impl<S: Send + Sync> FromRequestParts<S> for AtMembership {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, state: &S) -> Result<Self, Problem> {
        let AtUser(user) = AtUser::from_request_parts(parts, state).await?;
        let AtTenant(tenant) = AtTenant::from_request_parts(parts, state).await?;
        Ok(Self(user, tenant))
    }
}

/// Takes a user out of every team of a tenant, at their own wish.
#[utoipa::path(delete, path = "/api/v1/users/{user}/memberships/{tenant}", tag = "people", responses((status = 200, body = Done)))]
pub(crate) async fn leave(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtMembership(user, tenant): AtMembership,
) -> Result<Json<Done>, Problem> {
    web.manager.leave_tenant(&who, &user, &tenant).await?;
    Ok(Json(Done {}))
}
