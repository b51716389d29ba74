//! The client of a gateway's API: all that the commands know of a network goes through here.
//!
//! Upon a problem document: its words become the failure. Upon no answer: a failure that says so,
//! so that whoever follows a job can wait and ask again.

pub(crate) mod blobs;
pub(crate) mod feed;

use std::time::Duration;

use api::{Balance, DealReceipt, Job, Jobs, Listed, Network, Offers, Problem, Task, Tasks};
use market::{
    document::Consent,
    fact::Submission,
    message::Output,
    quote::{Inquiry, Quote},
};
use primitives::{Address, DealId, Epoch, JobId, TaskIndex};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};

use crate::failure::{Doing as _, Failure, Result};

/// How long a connection may take; a request itself may take as long as its content.
const CONNECT: Duration = Duration::from_secs(5);

/// A gateway's API, or a provider's.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

/// What a task printed, on its way here.
pub(crate) struct Printed {
    /// Which attempt at the task printed it.
    pub(crate) epoch: Epoch,
    /// The bytes.
    pub(crate) response: Response,
}

impl Client {
    /// The API at `url`.
    pub(crate) fn new(url: &str, token: &str) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            // It lies on this machine, in the clear: nobody's certificate counts.
            .tls_certs_only([])
            .tcp_nodelay(true)
            .build()
            .doing(|| "preparing an HTTP client".to_owned())?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), token: token.to_owned() })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where the chain's JSON-RPC is.
    pub(crate) fn rpc_url(&self) -> String {
        format!("{}/rpc", self.url)
    }

    /// Which network this is.
    pub(crate) async fn network(&self) -> Result<Network> {
        self.get("v1/network").await
    }

    /// The book of offers.
    pub(crate) async fn offers(&self) -> Result<Vec<Listed>> {
        let offers: Offers = self.get("v1/offers").await?;
        Ok(offers.offers)
    }

    /// What a machine would cost.
    pub(crate) async fn quote(&self, inquiry: &Inquiry) -> Result<Quote> {
        self.post("v1/quote", inquiry).await
    }

    /// Hand in an order; the same order again is the same job.
    pub(crate) async fn submit(&self, submission: &Submission, key: JobId) -> Result<Job> {
        let request = self.request(Method::POST, "v1/jobs").json(submission);
        read(answered(request.header("idempotency-key", key.to_string())).await?).await
    }

    /// All jobs, newest first.
    pub(crate) async fn jobs(&self) -> Result<Vec<Job>> {
        let jobs: Jobs = self.get("v1/jobs").await?;
        Ok(jobs.jobs)
    }

    /// The job of this id, or of the one that begins so.
    pub(crate) async fn job(&self, name: &str) -> Result<Job> {
        self.get(&format!("v1/jobs/{}", escaped(name))).await
    }

    /// Ask for a job to be ended.
    pub(crate) async fn stop(&self, job: JobId) -> Result<Job> {
        self.post(&format!("v1/jobs/{job}/stop"), &()).await
    }

    /// The tasks of a job, by index.
    pub(crate) async fn tasks(&self, job: JobId) -> Result<Vec<Task>> {
        let tasks: Tasks = self.get(&format!("v1/jobs/{job}/tasks")).await?;
        Ok(tasks.tasks)
    }

    /// What the newest attempt at a task prints from byte `from` on, until it is over or, without
    /// `follow`, until now.
    pub(crate) async fn output(
        &self,
        job: JobId,
        task: TaskIndex,
        output: Output,
        from: u64,
        follow: bool,
    ) -> Result<Printed> {
        let word = match output {
            Output::Stdout => "stdout",
            Output::Stderr => "stderr",
        };
        let task = task.0;
        let path = format!("v1/jobs/{job}/outputs/{word}?task={task}&from={from}&follow={follow}");
        let response = answered(self.request(Method::GET, &path)).await?;
        let epoch = response.headers().get(api::EPOCH).and_then(|epoch| epoch.to_str().ok());
        let epoch = epoch.and_then(|epoch| epoch.parse().ok()).map(Epoch);
        let unsaid = || Failure::new("the gateway does not say which attempt printed this");
        Ok(Printed { epoch: epoch.ok_or_else(unsaid)?, response })
    }

    /// Agree to a deal's terms.
    pub(crate) async fn consent(&self, deal: DealId, consent: &Consent) -> Result<()> {
        let path = format!("v1/deals/{deal}/consent");
        answered(self.request(Method::POST, &path).json(consent)).await.map(drop)
    }

    /// The papers of a deal.
    pub(crate) async fn receipt(&self, deal: DealId) -> Result<DealReceipt> {
        self.get(&format!("v1/deals/{deal}/receipt")).await
    }

    /// What an account has.
    pub(crate) async fn balance(&self, account: Address) -> Result<Balance> {
        self.get(&format!("v1/balances/{account}")).await
    }

    /// Ask for a document.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        read(answered(self.request(Method::GET, path)).await?).await
    }

    /// Send a document, and read the one that comes back.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        document: &impl Serialize,
    ) -> Result<T> {
        read(answered(self.request(Method::POST, path).json(document)).await?).await
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/{path}", self.url)).bearer_auth(&self.token)
    }
}

/// Send a request and give the response if it is a success, else the problem it tells.
pub(crate) async fn answered(request: RequestBuilder) -> Result<Response> {
    let response = request.send().await.map_err(|error| silence(&error))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    Err(match serde_json::from_str::<Problem>(&text) {
        Ok(problem) => Failure::new(problem.detail).advise_at(status),
        Err(_) => Failure::new(format!("the gateway answers {status}")),
    })
}

fn silence(error: &reqwest::Error) -> Failure {
    Failure::new("asking the gateway")
        .because(error)
        .away()
        .advise("see whether it runs: plaza doctor; start it again: plaza up")
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T> {
    let bytes = response.bytes().await.map_err(|error| silence(&error))?;
    serde_json::from_slice(&bytes).doing(|| "reading the gateway's answer".to_owned())
}

/// Keep what a user typed from becoming another path.
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let piece = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    name.bytes().map(piece).collect()
}

impl Failure {
    fn advise_at(self, status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => self
                .advise("another data folder's network answers there; name yours with --data DIR"),
            StatusCode::SERVICE_UNAVAILABLE => self.away(),
            StatusCode::INSUFFICIENT_STORAGE => {
                self.advise("free some space on the gateway's disk")
            }
            _ => self,
        }
    }
}
