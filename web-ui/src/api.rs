//! The routes of the API: one table, from which the router, the OpenAPI document and the matrix of the tests are made.

use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use axum::{Json, Router};
use http::{Method, header};
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder};

use crate::Web;
use crate::problem::Problem;

mod apps;
mod builds;
pub(crate) mod documents;
mod envs;
mod invitations;
mod membership_documents;
mod people;
mod platform;
mod tenants;

macro_rules! routes {
    ($($method:ident $path:literal => $($handler:ident)::+;)*) => {
        /// Every route of the API: its method and its path with `{names}`.
        pub const ROUTES: &[(Method, &str)] = &[$((Method::$method, $path),)*];

        fn routed() -> Router<Arc<Web>> {
            Router::new()$(.route($path, on(MethodFilter::$method, $($handler)::+)))*
        }

        #[derive(OpenApi)]
        #[openapi(
            info(title = "Slipway", description = "Everything that the command line does, over HTTP."),
            paths($($($handler)::+),*),
            tags(
                (name = "apps", description = "Apps and their environments"),
                (name = "builds", description = "Builds and their logs"),
                (name = "releases", description = "Releases and going back"),
                (name = "config", description = "Environment variables"),
                (name = "processes", description = "What runs, how many, and what it says"),
                (name = "domains", description = "Host names"),
                (name = "people", description = "Users, keys, tokens"),
                (name = "tenants", description = "Tenants, teams, members"),
                (name = "platform", description = "The platform itself"),
            )
        )]
        struct Documented;
    };
}

routes! {
    POST "/api/v1/login" => people::sign_in;
    DELETE "/api/v1/login" => people::sign_out;
    GET "/api/v1/whoami" => people::whoami;
    GET "/api/v1/users" => people::users;
    POST "/api/v1/users" => people::create_user;
    DELETE "/api/v1/users/{user}" => people::remove_user;
    POST "/api/v1/users/{user}/password" => people::set_password;
    GET "/api/v1/users/{user}/keys" => people::keys;
    POST "/api/v1/users/{user}/keys" => people::add_key;
    DELETE "/api/v1/users/{user}/keys" => people::remove_key;
    GET "/api/v1/users/{user}/tokens" => people::tokens;
    POST "/api/v1/users/{user}/tokens" => people::create_token;
    DELETE "/api/v1/users/{user}/tokens" => people::revoke_token;
    GET "/api/v1/users/{user}/invitations" => invitations::invitations;
    POST "/api/v1/users/{user}/invitations/{tenant}/{team}" => invitations::accept;
    DELETE "/api/v1/users/{user}/invitations/{tenant}/{team}" => invitations::decline;
    DELETE "/api/v1/users/{user}/memberships/{tenant}" => invitations::leave;
    GET "/api/v1/tenants" => tenants::tenants;
    POST "/api/v1/tenants" => tenants::create_tenant;
    PATCH "/api/v1/tenants/{tenant}" => tenants::set_policy;
    DELETE "/api/v1/tenants/{tenant}" => tenants::destroy_tenant;
    POST "/api/v1/tenants/{tenant}/teams" => tenants::create_team;
    GET "/api/v1/tenants/{tenant}/members" => tenants::members;
    GET "/api/v1/tenants/{tenant}/invitations" => tenants::invitations;
    DELETE "/api/v1/tenants/{tenant}/teams/{team}" => tenants::remove_team;
    PUT "/api/v1/tenants/{tenant}/teams/{team}/members/{user}" => tenants::set_member;
    DELETE "/api/v1/tenants/{tenant}/teams/{team}/members/{user}" => tenants::remove_member;
    GET "/api/v1/tenants/{tenant}/events" => tenants::events;
    GET "/api/v1/tenants/{tenant}/refusals" => tenants::refusals;
    GET "/api/v1/resolve" => apps::resolve;
    GET "/api/v1/apps" => apps::apps;
    POST "/api/v1/apps" => apps::create_app;
    GET "/api/v1/apps/{tenant}/{app}" => apps::app_info;
    DELETE "/api/v1/apps/{tenant}/{app}" => apps::destroy_app;
    GET "/api/v1/apps/{tenant}/{app}/events" => apps::events;
    GET "/api/v1/apps/{tenant}/{app}/envs/{env}/builds" => envs::builds;
    GET "/api/v1/apps/{tenant}/{app}/envs/{env}/releases" => envs::releases;
    GET "/api/v1/apps/{tenant}/{app}/envs/{env}/releases/diff" => envs::diff;
    POST "/api/v1/apps/{tenant}/{app}/envs/{env}/releases/retry" => envs::retry;
    POST "/api/v1/apps/{tenant}/{app}/envs/{env}/rollback" => envs::rollback;
    GET "/api/v1/apps/{tenant}/{app}/envs/{env}/config" => envs::config_keys;
    GET "/api/v1/apps/{tenant}/{app}/envs/{env}/config/values" => envs::config_values;
    PATCH "/api/v1/apps/{tenant}/{app}/envs/{env}/config" => envs::set_config;
    GET "/api/v1/apps/{tenant}/{app}/envs/{env}/ps" => envs::ps;
    POST "/api/v1/apps/{tenant}/{app}/envs/{env}/scale" => envs::scale;
    POST "/api/v1/apps/{tenant}/{app}/envs/{env}/restart" => envs::restart;
    GET "/api/v1/apps/{tenant}/{app}/envs/{env}/maintenance" => envs::maintenance;
    PUT "/api/v1/apps/{tenant}/{app}/envs/{env}/maintenance" => envs::set_maintenance;
    GET "/api/v1/apps/{tenant}/{app}/envs/{env}/domains" => envs::domains;
    POST "/api/v1/apps/{tenant}/{app}/envs/{env}/domains" => envs::add_domain;
    DELETE "/api/v1/apps/{tenant}/{app}/envs/{env}/domains" => envs::remove_domain;
    GET "/api/v1/apps/{tenant}/{app}/envs/{env}/logs" => envs::logs;
    GET "/api/v1/builds/{build}" => builds::build;
    GET "/api/v1/builds/{build}/log" => builds::log;
    POST "/api/v1/builds/{build}/cancel" => builds::cancel;
    GET "/api/v1/hosts" => platform::hosts;
    PUT "/api/v1/hosts/{host}/maintenance" => platform::host_maintenance;
    GET "/api/v1/router/trace" => platform::trace;
    GET "/api/v1/openapi.json" => openapi_document;
    GET "/healthz" => healthz;
}

/// The routes.
pub(crate) fn router() -> Router<Arc<Web>> {
    routed()
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "platform", responses((status = 200, body = String)), security(()))]
async fn openapi_document() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| openapi().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// Whether the platform answers, its database included.
#[utoipa::path(get, path = "/healthz", tag = "platform", responses((status = 200, body = documents::Health)), security(()))]
async fn healthz(State(web): State<Arc<Web>>) -> Result<Json<documents::Health>, Problem> {
    web.manager.records().ping().await.map_err(|error| manager::internal(&error))?;
    Ok(Json(documents::Health { status: "ok" }))
}

/// The whole document: what the handlers say, and what holds for all of them.
fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Documented::openapi();
    document.merge(documents::ModelSchemas::openapi());
    document.info.version = env!("CARGO_PKG_VERSION").into();
    let components = document.components.get_or_insert_default();
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token: `slipway login`")).build();
    components.add_security_scheme("token", SecurityScheme::Http(token));
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("slipway"))));
    let none: [&str; 0] = [];
    document.security = Some(vec![SecurityRequirement::new("token", none), SecurityRequirement::new("session", none)]);
    for (path, item) in &mut document.paths.paths {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            complete(path, operation);
        }
    }
    document
}

/// Adds the parameters of the path and the answer to every failure.
fn complete(path: &str, operation: &mut Operation) {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters = operation.parameters.get_or_insert_default();
    for name in names {
        let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build();
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True).schema(Some(text));
        parameters.push(RefOr::T(parameter.build()));
    }
    let failure = ResponseBuilder::new()
        .description("What failed, why, what to do next")
        .content("application/problem+json", ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name("UserError")))).build())
        .build();
    operation.responses.responses.insert("default".into(), RefOr::T(failure));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_route_and_no_open_reference() {
        let document = serde_json::to_value(openapi()).expect("JSON");
        for (method, path) in ROUTES {
            let operation = &document["paths"][path][method.as_str().to_lowercase()];
            assert!(operation["responses"]["default"].is_object(), "{method} {path} is not documented");
        }
        let documented: usize =
            document["paths"].as_object().expect("paths").values().map(|item| item.as_object().expect("an item").len()).sum();
        assert_eq!(documented, ROUTES.len());
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().expect("a name");
            assert!(document["components"]["schemas"][name].is_object(), "`{name}` is referred to and not there");
        }
    }
}
