//! `/v1/jobs/{job}/tasks`: what came of each task of a job.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::State};
use broker::{JobView, TaskView};
use primitives::{DealId, Digest, TaskIndex};

use crate::{
    answer::{Deal, Task, TaskState, Tasks},
    problem::Problem,
    request::Named,
    world::World,
};

/// All tasks of a job, by index, each with its newest attempt.
pub(crate) async fn task_list(
    State(world): State<World>,
    Named(name): Named<String>,
) -> Result<Json<Tasks>, Problem> {
    let job = world.job(&name)?;
    let views = world.broker.tasks(job.id);
    Ok(Json(Tasks { tasks: listed(job, views) }))
}

fn listed(job: JobView, views: Vec<TaskView>) -> Vec<Task> {
    let all = job.tasks.all;
    let carrying: BTreeSet<DealId> = job
        .deals
        .into_iter()
        .map(Deal::from)
        .filter(Deal::carries)
        .map(|deal| deal.agreement.deal)
        .collect();
    let mut views: BTreeMap<TaskIndex, TaskView> =
        views.into_iter().map(|view| (view.task, view)).collect();
    (0..all)
        .map(TaskIndex)
        .map(|task| match views.remove(&task) {
            Some(view) => attempted(view, &carrying),
            None => Task::waiting(task),
        })
        .collect()
}

fn attempted(view: TaskView, carrying: &BTreeSet<DealId>) -> Task {
    let TaskView { task, deal, provider, epoch, outcome } = view;
    let state = match &outcome {
        Some(_) => TaskState::Done,
        None if carrying.contains(&deal) => TaskState::Handed,
        None => TaskState::Waiting,
    };
    let result = outcome.as_ref().map(|outcome| outcome.result);
    Task {
        state,
        epoch: Some(epoch),
        deal: Some(deal),
        provider: Some(provider),
        exit_code: result.map(|result| result.exit_code),
        seconds: result.map(|result| result.seconds),
        output: result.map(|result| result.output).filter(|list| *list != Digest::default()),
        ending: outcome.map(|outcome| outcome.ending),
        ..Task::waiting(task)
    }
}

impl Task {
    fn waiting(task: TaskIndex) -> Self {
        Self {
            task,
            state: TaskState::Waiting,
            epoch: None,
            deal: None,
            provider: None,
            exit_code: None,
            seconds: None,
            output: None,
            ending: None,
        }
    }
}
