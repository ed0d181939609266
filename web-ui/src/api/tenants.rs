//! Tenants, teams, members.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use http::StatusCode;
use manager::members::MemberSet;
use model::{TenantName, UserName};
use store::records::Member;

use super::documents::{Done, EventDoc, Limit, MemberDoc, NewRole, NewTeam, NewTenant, TenantPolicy};
use super::membership_documents::{InvitationDoc, MemberSetDoc, RefusalDoc};
use crate::Web;
use crate::caller::Who;
use crate::extract::{Asked, Body};
use crate::path_params::{AtTeam, AtTenant, AtUser};
use crate::problem::Problem;

/// The names of the tenants that you see.
#[utoipa::path(get, path = "/api/v1/tenants", tag = "tenants", responses((status = 200, body = Vec<String>)))]
pub(crate) async fn tenants(State(web): State<Arc<Web>>, Who(who): Who) -> Result<Json<Vec<TenantName>>, Problem> {
    Ok(Json(web.manager.tenants(&who).await?))
}

/// Makes a tenant with a first team and its owner.
#[utoipa::path(post, path = "/api/v1/tenants", tag = "tenants", request_body = NewTenant, responses((status = 201, body = Done)))]
pub(crate) async fn create_tenant(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    Body(wish): Body<NewTenant>,
) -> Result<(StatusCode, Json<Done>), Problem> {
    web.manager.create_tenant(&who, &wish.name, &wish.team, &wish.owner).await?;
    Ok((StatusCode::CREATED, Json(Done {})))
}

/// Changes the policy of a tenant.
#[utoipa::path(patch, path = "/api/v1/tenants/{tenant}", tag = "tenants", request_body = TenantPolicy, responses((status = 200, body = Done)))]
pub(crate) async fn set_policy(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtTenant(tenant): AtTenant,
    Body(wish): Body<TenantPolicy>,
) -> Result<Json<Done>, Problem> {
    web.manager.set_policy(&who, &tenant, wish.create_on_push).await?;
    Ok(Json(Done {}))
}

/// Destroys a tenant that has no app, with its teams.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}", tag = "tenants", responses((status = 200, body = Done)))]
pub(crate) async fn destroy_tenant(State(web): State<Arc<Web>>, Who(who): Who, AtTenant(tenant): AtTenant) -> Result<Json<Done>, Problem> {
    web.manager.destroy_tenant(&who, &tenant).await?;
    Ok(Json(Done {}))
}

/// Removes a team that no app belongs to.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/teams/{team}", tag = "tenants", responses((status = 200, body = Done)))]
pub(crate) async fn remove_team(State(web): State<Arc<Web>>, Who(who): Who, AtTeam((tenant, team)): AtTeam) -> Result<Json<Done>, Problem> {
    web.manager.remove_team(&who, &tenant, &team).await?;
    Ok(Json(Done {}))
}

/// Makes a team.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/teams", tag = "tenants", request_body = NewTeam, responses((status = 201, body = Done)))]
pub(crate) async fn create_team(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtTenant(tenant): AtTenant,
    Body(wish): Body<NewTeam>,
) -> Result<(StatusCode, Json<Done>), Problem> {
    web.manager.create_team(&who, &tenant, &wish.name).await?;
    Ok((StatusCode::CREATED, Json(Done {})))
}

/// The members of a tenant.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/members", tag = "tenants", responses((status = 200, body = Vec<MemberDoc>)))]
pub(crate) async fn members(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtTenant(tenant): AtTenant,
) -> Result<Json<Vec<MemberDoc>>, Problem> {
    Ok(Json(web.manager.members(&who, &tenant).await?.into_iter().map(MemberDoc::from).collect()))
}

/// A team and a user in it.
pub(crate) struct AtMember(pub(super) model::TenantName, pub(super) model::TeamName, pub(super) UserName);

impl<S: Send + Sync> FromRequestParts<S> for AtMember {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, state: &S) -> Result<Self, Problem> {
        let AtTeam((tenant, team)) = AtTeam::from_request_parts(parts, state).await?;
        let AtUser(user) = AtUser::from_request_parts(parts, state).await?;
        Ok(Self(tenant, team, user))
    }
}

/// Puts a user into a team, or changes its role there. A user who is in no team of the tenant yet is invited.
#[utoipa::path(put, path = "/api/v1/tenants/{tenant}/teams/{team}/members/{user}", tag = "tenants", request_body = NewRole,
    responses((status = 200, body = MemberSetDoc)))]
pub(crate) async fn set_member(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtMember(tenant, team, user): AtMember,
    Body(wish): Body<NewRole>,
) -> Result<Json<MemberSetDoc>, Problem> {
    let set = web.manager.set_member(&who, &Member { tenant, team, user, role: wish.role }).await?;
    Ok(Json(MemberSetDoc { invited: set == MemberSet::Invited }))
}

/// Takes a user out of a team, or an open invitation back.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/teams/{team}/members/{user}", tag = "tenants", responses((status = 200, body = Done)))]
pub(crate) async fn remove_member(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtMember(tenant, team, user): AtMember,
) -> Result<Json<Done>, Problem> {
    web.manager.remove_member(&who, &tenant, &team, &user).await?;
    Ok(Json(Done {}))
}

/// The open invitations of a tenant.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/invitations", tag = "tenants", responses((status = 200, body = Vec<InvitationDoc>)))]
pub(crate) async fn invitations(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtTenant(tenant): AtTenant,
) -> Result<Json<Vec<InvitationDoc>>, Problem> {
    Ok(Json(web.manager.tenant_invitations(&who, &tenant).await?.into_iter().map(InvitationDoc::from).collect()))
}

/// The newest events of a tenant.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/events", tag = "tenants", params(Limit), responses((status = 200, body = Vec<EventDoc>)))]
pub(crate) async fn events(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtTenant(tenant): AtTenant,
    Asked(limit): Asked<Limit>,
) -> Result<Json<Vec<EventDoc>>, Problem> {
    let events = web.manager.events(&who, &tenant, None, limit.limit.unwrap_or(50)).await?;
    Ok(Json(events.into_iter().map(EventDoc).collect()))
}

/// What was refused in a tenant, counted per hour, user and verb, the newest first.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/refusals", tag = "tenants", params(Limit), responses((status = 200, body = Vec<RefusalDoc>)))]
pub(crate) async fn refusals(
    State(web): State<Arc<Web>>,
    Who(who): Who,
    AtTenant(tenant): AtTenant,
    Asked(limit): Asked<Limit>,
) -> Result<Json<Vec<RefusalDoc>>, Problem> {
    let refusals = web.manager.refusals(&who, &tenant, limit.limit.unwrap_or(50)).await?;
    Ok(Json(refusals.into_iter().map(RefusalDoc::from).collect()))
}
