//! Domains: the host names of an app, those that the platform gives it and those that its users add.

use chrono::{TimeDelta, Utc};
use model::{AppEnv, Hostname, UserError};
use serde_json::json;
use store::records::Taken;

use crate::authorize::Verb;
use crate::identity::Identity;
use crate::user_errors::domains as errors;
use crate::{Manager, OrInternal};

/// The label below which an owner of a domain publishes the proof.
const PROOF_LABEL: &str = "_slipway";
/// How long no other tenant may have a domain that was given up: caches and links still lead to its old owner.
const COOL_OFF: TimeDelta = TimeDelta::days(7);

/// Looks up the records by which an owner proves a domain; implemented by the binary.
#[async_trait::async_trait]
pub trait DomainProof: Send + Sync {
    /// Whether one of the TXT records of `name` is `value`. A look-up that fails is none.
    async fn has_txt(&self, name: &str, value: &str) -> bool;
}

/// Why a name can not lead to an app, whoever asks: it names no site of its own, or one of the platform itself.
fn refusal(hostname: &Hostname, own: &[Hostname]) -> Option<&'static str> {
    let labels: Vec<&str> = hostname.as_str().split('.').collect();
    let last = labels.last().copied().unwrap_or_default();
    let is_number = |label: &str| {
        let digits = label.strip_prefix("0x").unwrap_or(label);
        !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_hexdigit())
            && (label.starts_with("0x") || label.bytes().all(|b| b.is_ascii_digit()))
    };
    if is_number(last) {
        return Some("Programs read it as an address.");
    }
    if labels.len() < 2 {
        return Some("It has one part only: it is a whole top-level domain, or a machine's short name.");
    }
    // Whoever has a parent of the platform's own name could speak for the platform.
    own.iter().any(|own| own.is_within(hostname)).then_some("The platform itself is reached by it, or by a name below it.")
}

impl Manager {
    /// Sets what looks up proofs of ownership; once, when all roles are wired.
    pub fn set_domain_proof(&self, proof: std::sync::Arc<dyn DomainProof>) {
        if self.domain_proof.set(proof).is_err() {
            tracing::error!("the proof of domains was set twice; the first stays");
        }
    }

    /// The names by which the platform itself is reached.
    fn own_names(&self) -> Vec<Hostname> {
        let of_url = |url: &str| {
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            Hostname::new(host.split(['/', ':']).next().unwrap_or_default()).ok()
        };
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().and_then(|name| Hostname::new(name.trim()).ok());
        let urls = [&self.settings.dashboard, &self.settings.ssh].into_iter().filter_map(|url| of_url(url));
        urls.chain(machine).chain([self.settings.domain.clone()]).collect()
    }

    /// The host names of an app, the platform's first.
    pub async fn domains(&self, who: &Identity, app: &AppEnv) -> Result<Vec<Taken>, UserError> {
        self.reach_env(who, Verb::DomainsShow, app).await?;
        self.records.hostnames_of(app).await.or_internal()
    }

    /// Adds a host name, once its owner has proven it by a TXT record; the operator of the platform needs no proof. Names under the
    /// platform's own domain are the platform's to give.
    pub async fn add_domain(&self, who: &Identity, app: &AppEnv, hostname: &Hostname) -> Result<(), UserError> {
        self.reach_env(who, Verb::DomainsAdd, app).await?;
        if self.records.hostnames_of(app).await.or_internal()?.iter().any(|taken| taken.hostname == *hostname) {
            return Err(errors::added_already(hostname, app));
        }
        if hostname.is_within(&self.settings.domain) {
            return Err(errors::below_platform_domain(hostname, &self.settings.domain));
        }
        if let Some(why) = refusal(hostname, &self.own_names()) {
            return Err(errors::not_a_domain(hostname, why));
        }
        let mut change = self.records.change().await.or_internal()?;
        if change.was_released_by_another(hostname, &app.tenant, Utc::now() - COOL_OFF).await.or_internal()? {
            return Err(errors::cooling_off(hostname, COOL_OFF.num_days()));
        }
        if !who.is_super {
            let fresh = store::random::secret();
            let token = change.claim_domain(hostname, app, &fresh, Utc::now()).await.or_internal()?;
            // Its own transaction: the token stays the same, whatever the look-up gives.
            change.commit().await.or_internal()?;
            let value = format!("slipway={token}");
            let proven = match self.domain_proof.get() {
                Some(proof) => proof.has_txt(&format!("{PROOF_LABEL}.{hostname}"), &value).await,
                None => false,
            };
            if !proven {
                return Err(errors::unproven(hostname, app, &format!("{PROOF_LABEL}.{hostname}"), &value));
            }
            change = self.records.change().await.or_internal()?;
        }
        if let Err(error) = change.take_hostname(hostname, app, false, Utc::now()).await {
            return Err(if error.is_taken() { errors::taken(hostname) } else { crate::internal(&error) });
        }
        self.record(&mut change, who, Verb::DomainsAdd, Some(&app.tenant), app.to_string(), json!({ "hostname": hostname })).await?;
        change.commit().await.or_internal()?;
        self.project(app).await
    }

    /// Gives up an added host name.
    pub async fn remove_domain(&self, who: &Identity, app: &AppEnv, hostname: &Hostname) -> Result<(), UserError> {
        self.reach_env(who, Verb::DomainsRemove, app).await?;
        if self.records.hostnames_of(app).await.or_internal()?.iter().any(|taken| taken.hostname == *hostname && taken.platform) {
            return Err(errors::given_by_platform(hostname, app));
        }
        let mut change = self.records.change().await.or_internal()?;
        if !change.give_up_hostname(hostname, app).await.or_internal()? {
            return Err(errors::not_added(hostname, app));
        }
        change.release_hostname(hostname, &app.tenant, Utc::now()).await.or_internal()?;
        self.record(&mut change, who, Verb::DomainsRemove, Some(&app.tenant), app.to_string(), json!({ "hostname": hostname })).await?;
        change.commit().await.or_internal()?;
        self.project(app).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_top_level_domains_and_the_platforms_own_names_are_refused() {
        let own: Vec<Hostname> = ["paas.corp.example", "apps.corp.example"].iter().map(|name| name.parse().expect("a name")).collect();
        let refused = |name: &str| refusal(&name.parse().expect("a name"), &own);
        for name in ["com", "localhost", "0x7f000001", "127.0.0.0x1", "build7", "paas.corp.example", "corp.example", "apps.corp.example"] {
            assert!(refused(name).is_some(), "{name}");
        }
        for name in ["www.bank.com", "bank.com", "shop.example.org", "0xbeef.example.org", "dead.beef"] {
            assert_eq!(refused(name), None, "{name}");
        }
    }
}
