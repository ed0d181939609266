//! Nobody becomes a member without accepting it, and a short path never leads into a tenant that its user did not join.

use manager::Identity;
use manager::members::MemberSet;
use model::{Code, UserError};
use store::records::{Member, Role};

use crate::platform::{Platform, operator};

/// A tenant evil, owned by mallory.
async fn evil(platform: &Platform) -> Identity {
    let mallory = "mallory".parse().expect("a name");
    platform.manager.create_user(&operator(), &mallory, false).await.expect("a user");
    let (evil, web) = ("evil".parse().expect("a name"), "web".parse().expect("a name"));
    platform.manager.create_tenant(&operator(), &evil, &web, &mallory).await.expect("a tenant");
    platform.manager.identity(&mallory, "test").await.expect("a user")
}

fn ada_in_evil(role: Role) -> Member {
    Member { tenant: "evil".parse().expect("a name"), team: "web".parse().expect("a name"), user: "ada".parse().expect("a name"), role }
}

/// What ada's short path stands for.
async fn short_path(platform: &Platform, app: &str) -> Result<String, UserError> {
    let (app, env) = (app.parse().expect("a name"), "dev".parse().expect("a name"));
    let ada = platform.ada().await;
    platform.manager.resolve_remote(&ada, None, app, env).await.map(|app| app.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_invited_and_a_short_path_stays_at_home() {
    let platform = Platform::start().await;
    let mallory = evil(&platform).await;
    let set = platform.manager.set_member(&mallory, &ada_in_evil(Role::Owner)).await.expect("an invitation");
    assert_eq!(set, MemberSet::Invited);
    let trap = "evil/newapp/dev".parse::<model::AppEnv>().expect("a path");
    platform.manager.create_app(&mallory, &trap.app_ref(), None).await.expect("an app");

    let ada = platform.ada().await;
    assert_eq!(ada.tenants(), ["acme".parse().expect("a name")], "a member against her will");
    let refused = short_path(&platform, "newapp").await.expect_err("it is no app of hers");
    assert_eq!(refused.code, Code::UnknownApp, "{refused}");
    let refused = short_path(&platform, "fresh").await.expect_err("a short path makes no app");
    assert_eq!(refused.code, Code::UnknownApp, "{refused}");
    assert!(refused.next.iter().any(|next| next.ends_with("/acme/fresh/dev")), "{refused}");
    assert_eq!(short_path(&platform, "shop").await.expect("her app"), "acme/shop/dev");
    let shop = "shop".parse().expect("a path");
    assert_eq!(platform.manager.resolve(&ada, &shop).await.expect("her app").to_string(), "acme/shop");

    // A same-named app of a tenant that she has not joined makes nothing ambiguous.
    let same = "evil/shop/dev".parse::<model::AppEnv>().expect("a path");
    platform.manager.create_app(&mallory, &same.app_ref(), None).await.expect("an app");
    assert_eq!(short_path(&platform, "shop").await.expect("her app"), "acme/shop/dev");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_accepted_declined_or_taken_back_and_a_membership_left() {
    let platform = Platform::start().await;
    let mallory = evil(&platform).await;
    let member = ada_in_evil(Role::Deployer);
    let (tenant, team, user) = (member.tenant.clone(), member.team.clone(), member.user.clone());
    let manager = &platform.manager;
    let ada = platform.ada().await;
    let open = async || manager.invitations(&ada, &user).await.expect("invitations").len();

    manager.set_member(&mallory, &member).await.expect("an invitation");
    assert_eq!(open().await, 1);
    assert!(manager.accept_invitation(&mallory, &user, &tenant, &team).await.is_err(), "accepted by somebody else");
    manager.decline_invitation(&ada, &user, &tenant, &team).await.expect("declined");
    assert_eq!(open().await, 0);
    let refused = manager.accept_invitation(&ada, &user, &tenant, &team).await.expect_err("it was declined");
    assert_eq!(refused.code, Code::NotFound);

    manager.set_member(&mallory, &member).await.expect("an invitation");
    manager.remove_member(&mallory, &tenant, &team, &user).await.expect("taken back");
    assert_eq!(open().await, 0);

    manager.set_member(&mallory, &member).await.expect("an invitation");
    assert_eq!(manager.accept_invitation(&ada, &user, &tenant, &team).await.expect("accepted"), member);
    assert_eq!(platform.ada().await.role_in(&tenant, &team), Some(Role::Deployer));
    // Whoever is in the tenant has agreed to it: roles are the owner's to give.
    let set = manager.set_member(&mallory, &ada_in_evil(Role::Viewer)).await.expect("another role");
    assert_eq!((set, platform.ada().await.role_in(&tenant, &team)), (MemberSet::Set, Some(Role::Viewer)));

    manager.leave_tenant(&ada, &user, &tenant).await.expect("left");
    assert_eq!(platform.ada().await.role_in_tenant(&tenant), None);
    let acme = "acme".parse().expect("a name");
    let refused = manager.leave_tenant(&ada, &user, &acme).await.expect_err("she is the last owner");
    assert_eq!(refused.code, Code::InUse);
    platform.stop().await;
}
