//! Documents of the API about memberships: invitations and refusals.

use model::{TeamName, TenantName, Time, UserName};
use serde::Serialize;
use store::records::{Invitation, Member, Refusal, Role};
use utoipa::ToSchema;

/// Whether the user is a member now, or invited.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberSetDoc {
    pub(crate) invited: bool,
}

/// A membership that its user may accept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvitationDoc {
    #[schema(value_type = String, example = "acme")]
    pub(crate) tenant: TenantName,
    #[schema(value_type = String, example = "web")]
    pub(crate) team: TeamName,
    #[schema(value_type = String, example = "ada")]
    pub(crate) user: UserName,
    #[schema(value_type = String, example = "deployer")]
    pub(crate) role: Role,
    /// Who invited.
    #[schema(example = "bob")]
    pub(crate) invited_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Time,
}

/// The refusals of one verb to one user in one hour.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefusalDoc {
    #[schema(value_type = String, format = DateTime)]
    pub(crate) hour: Time,
    #[schema(example = "vic")]
    pub(crate) actor: String,
    #[schema(example = "restart")]
    pub(crate) verb: String,
    pub(crate) count: u64,
    /// The object of the last one.
    #[schema(example = "acme/shop/dev")]
    pub(crate) object: String,
    /// From where the last one came.
    pub(crate) origin: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) last_at: Time,
}

impl From<Invitation> for InvitationDoc {
    fn from(invitation: Invitation) -> Self {
        let Member { tenant, team, user, role } = invitation.member;
        Self { tenant, team, user, role, invited_by: invitation.invited_by, at: invitation.at }
    }
}

impl From<Refusal> for RefusalDoc {
    fn from(refusal: Refusal) -> Self {
        let Refusal { hour, actor, verb, count, object, origin, last_at } = refusal;
        Self { hour, actor, verb, count, object, origin, last_at }
    }
}
