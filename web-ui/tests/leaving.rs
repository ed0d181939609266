//! What goes: tokens, members, teams, users, tenants. Over a real manager and its database.

mod platform;

use http::{Method, StatusCode};
use model::{Code, TeamName, TenantName, UserName};
use platform::{PASSWORD, Platform, api, form, operator, page, send, shop};
use serde_json::json;

fn name(text: &str) -> UserName {
    text.parse().expect("a name")
}

fn acme() -> (TenantName, TeamName, TeamName) {
    ("acme".parse().expect("a name"), "web".parse().expect("a name"), "ops".parse().expect("a name"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_opens_nothing_and_others_still_do() {
    let platform = Platform::start().await;
    let router = platform.router();
    let who = platform.identity("ada").await;
    let leaked = platform.manager.create_token(&who, &name("ada"), store::records::TokenScope::Full, "leaked").await.expect("a token");
    let kept = platform.manager.create_token(&who, &name("ada"), store::records::TokenScope::Full, "kept").await.expect("a token");
    let whoami = async |token: &str| send(&router, api(Method::GET, "/api/v1/whoami", Some(token), None)).await.status;
    let list = send(&router, api(Method::GET, "/api/v1/users/ada/tokens", Some(&kept), None)).await.json();
    assert!(!list.to_string().contains("slw_"), "a token is told: {list}");
    let found = list.as_array().expect("a list").iter().find(|token| token["label"] == "leaked").expect("it is listed");
    let id = found["id"].as_str().expect("an id");
    let revoked = send(&router, api(Method::DELETE, &format!("/api/v1/users/ada/tokens?id={id}"), Some(&kept), None)).await;
    assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.text);
    assert_eq!((whoami(&leaked).await, whoami(&kept).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
    let wrong = send(&router, api(Method::DELETE, "/api/v1/users/ada/tokens?id=ffffffffffff", Some(&kept), None)).await;
    assert_eq!((wrong.status, wrong.json()["code"].clone()), (StatusCode::NOT_FOUND, serde_json::json!(Code::NotFound.as_str())));
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_signs_other_browsers_out_and_no_client() {
    let platform = Platform::start().await;
    let router = platform.router();
    let (here, there) = (platform.session("ada").await, platform.sign_in_again("ada").await);
    let client = platform.token("ada").await;
    let set =
        send(&router, form("/account/password", Some(&here), &format!("current={}&password=another+long+one", PASSWORD.replace(' ', "+"))))
            .await;
    assert_eq!(set.header("location"), "/account?said=password", "{}", set.text);
    assert_eq!(send(&router, page("/account", Some(&here))).await.status, StatusCode::OK, "this browser was signed out");
    assert_eq!(send(&router, page("/account", Some(&there))).await.status, StatusCode::SEE_OTHER, "another browser is still signed in");
    assert_eq!(send(&router, api(Method::GET, "/api/v1/whoami", Some(&client), None)).await.status, StatusCode::OK);
    assert!(platform.manager.sign_in("ada", PASSWORD, store::records::TokenKind::Session, "x").await.is_err(), "the old one fits");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_team_sees_nothing_of_it() {
    let platform = Platform::start().await;
    let router = platform.router();
    let (acme, web, _) = acme();
    let dee = platform.token("dee").await;
    let info = async |token: &str| send(&router, api(Method::GET, "/api/v1/apps/acme/shop", Some(token), None)).await.status;
    assert_eq!(info(&dee).await, StatusCode::OK);
    let ada = platform.identity("ada").await;
    platform.manager.remove_member(&ada, &acme, &web, &name("dee")).await.expect("dee leaves");
    assert_eq!(info(&dee).await, StatusCode::NOT_FOUND);
    let again = platform.manager.remove_member(&ada, &acme, &web, &name("dee")).await.expect_err("nobody there");
    assert_eq!(again.code, Code::NotFound);
    let events = platform.manager.events(&ada, &acme, None, 50).await.expect("events");
    assert!(events.iter().any(|event| event.verb == "members:remove" && event.detail["user"] == "dee"), "{events:?}");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_never_loses_its_last_owner() {
    let platform = Platform::start().await;
    let (acme, web, ops) = acme();
    let (ada, root) = (platform.identity("ada").await, platform.identity("root").await);
    // Eve owns team ops, so ada may go; then eve is the last.
    platform.manager.remove_member(&root, &acme, &web, &name("ada")).await.expect("another owner is left");
    for refused in [
        platform.manager.remove_member(&root, &acme, &ops, &name("eve")).await,
        platform.manager.remove_team(&root, &acme, &ops).await,
        platform.manager.remove_user(&root, &name("eve")).await,
    ] {
        let refused = refused.expect_err("the last owner went");
        assert_eq!(refused.code, Code::InUse, "{refused:?}");
        assert!(refused.what.contains("eve is the last owner of acme"), "{refused:?}");
    }
    assert_eq!(ada.user(), Some(&name("ada")));
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn teams_and_tenants_go_once_their_apps_are_gone_and_leave_no_past_to_a_namesake() {
    let platform = Platform::start().await;
    let (acme, web, ops) = acme();
    let (manager, root) = (&platform.manager, platform.identity("root").await);
    for refused in [manager.remove_team(&root, &acme, &web).await, manager.destroy_tenant(&root, &acme).await] {
        let refused = refused.expect_err("its app would be nobody's");
        assert!(refused.code == Code::InUse && refused.next.iter().any(|next| next.contains("apps:destroy acme/shop")), "{refused:?}");
    }
    manager.destroy_app(&root, &shop().app_ref(), "acme/shop").await.expect("destroyed");
    manager.remove_team(&root, &acme, &ops).await.expect("a team without apps goes");
    manager.destroy_tenant(&root, &acme).await.expect("a tenant without apps goes");
    assert!(!manager.tenants(&root).await.expect("tenants").contains(&acme));
    manager.create_tenant(&operator(), &acme, &web, &name("dee")).await.expect("the name is free again");
    let dee = platform.identity("dee").await;
    let verbs: Vec<String> = manager.events(&dee, &acme, None, 100).await.expect("events").into_iter().map(|event| event.verb).collect();
    assert_eq!(verbs, ["tenants:create"], "the past of the tenant that had this name");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_user_can_do_nothing_and_stays_in_the_events() {
    let platform = Platform::start().await;
    let router = platform.router();
    let (dee, session) = (platform.token("dee").await, platform.session("dee").await);
    let root = platform.identity("root").await;
    platform.manager.remove_user(&root, &name("dee")).await.expect("removed");
    assert_eq!(send(&router, api(Method::GET, "/api/v1/whoami", Some(&dee), None)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&router, page("/account", Some(&session))).await.status, StatusCode::SEE_OTHER);
    let (acme, ..) = acme();
    let members = platform.manager.members(&root, &acme).await.expect("members");
    assert!(!members.iter().any(|member| member.user == name("dee")), "{members:?}");
    assert_eq!(platform.manager.remove_user(&root, &name("dee")).await.expect_err("gone").code, Code::NotFound);
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_an_account() {
    let platform = Platform::start().await;
    platform.session("ada").await;
    let router = platform.router();
    let full = platform.token("ada").await;
    let made = async |scope: &str| {
        let body = Some(json!({ "label": "ci", "scope": scope }));
        let made = send(&router, api(Method::POST, "/api/v1/users/ada/tokens", Some(&full), body)).await;
        made.json()["token"].as_str().unwrap_or_else(|| panic!("{}", made.text)).to_owned()
    };
    let password = async |token: &str, body| send(&router, api(Method::POST, "/api/v1/users/ada/password", Some(token), Some(body))).await;
    for scope in ["read", "deploy"] {
        let token = made(scope).await;
        let get = send(&router, api(Method::GET, "/api/v1/apps/acme/shop", Some(&token), None)).await;
        assert_eq!(get.status, StatusCode::OK, "{scope}");
        let body = Some(json!({ "set": { "A": "b" } }));
        let set = send(&router, api(Method::PATCH, "/api/v1/apps/acme/shop/envs/dev/config", Some(&token), body)).await;
        assert_eq!(set.status, StatusCode::FORBIDDEN, "{scope}: {}", set.text);
        let taken = password(&token, json!({ "password": "a long enough one", "current": platform::PASSWORD })).await;
        assert_eq!(taken.status, StatusCode::FORBIDDEN, "{scope}: {}", taken.text);
        let more = send(&router, api(Method::POST, "/api/v1/users/ada/tokens", Some(&token), Some(json!({ "label": "more" })))).await;
        assert_eq!(more.status, StatusCode::FORBIDDEN, "{scope}: {}", more.text);
    }
    for body in [json!({ "password": "a long enough one" }), json!({ "password": "a long enough one", "current": "wrong" })] {
        let refused = password(&full, body).await;
        assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::FORBIDDEN, &json!("SW-A403")), "{}", refused.text);
    }
    let done = password(&full, json!({ "password": "a long enough one", "current": platform::PASSWORD })).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    platform.stop().await;
}
