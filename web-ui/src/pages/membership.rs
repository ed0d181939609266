//! One's own memberships on the account page: invitations are accepted or declined, a tenant is left.

use std::sync::Arc;

use axum::extract::State;
use chrono::Utc;
use manager::Identity;
use model::{TeamName, TenantName, UserName};
use serde::{Deserialize, Serialize};

use super::relative_time::{When, when};
use super::{Answer, Visitor, myself, to_account};
use crate::Web;
use crate::extract::Sent;
use crate::problem::Problem;

/// An open invitation, as the page shows it.
#[derive(Serialize)]
pub(super) struct InvitationView {
    tenant: String,
    team: String,
    role: &'static str,
    invited_by: String,
    at: When,
}

/// The open invitations of a user.
pub(super) async fn invitations(web: &Web, who: &Identity, user: &UserName) -> Result<Vec<InvitationView>, Problem> {
    let now = Utc::now();
    let view = |one: store::records::Invitation| InvitationView {
        tenant: one.member.tenant.to_string(),
        team: one.member.team.to_string(),
        role: one.member.role.as_str(),
        invited_by: one.invited_by,
        at: when(one.at, now),
    };
    Ok(web.manager.invitations(who, user).await?.into_iter().map(view).collect())
}

/// Which invitation is answered.
#[derive(Deserialize)]
pub(crate) struct Invited {
    tenant: TenantName,
    team: TeamName,
}

/// Accepts an invitation.
pub(crate) async fn accept(State(web): State<Arc<Web>>, Visitor(who): Visitor, Sent(form): Sent<Invited>) -> Answer {
    web.manager.accept_invitation(&who, &myself(&who)?, &form.tenant, &form.team).await?;
    to_account("accepted")
}

/// Declines an invitation.
pub(crate) async fn decline(State(web): State<Arc<Web>>, Visitor(who): Visitor, Sent(form): Sent<Invited>) -> Answer {
    web.manager.decline_invitation(&who, &myself(&who)?, &form.tenant, &form.team).await?;
    to_account("declined")
}

/// Which tenant is left. Its name is typed: only an owner could undo a wrong click.
#[derive(Deserialize)]
pub(crate) struct Left {
    tenant: TenantName,
}

/// Leaves every team of a tenant.
pub(crate) async fn leave(State(web): State<Arc<Web>>, Visitor(who): Visitor, Sent(form): Sent<Left>) -> Answer {
    web.manager.leave_tenant(&who, &myself(&who)?, &form.tenant).await?;
    to_account("left")
}
