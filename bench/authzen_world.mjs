// What ./dev bench authzen asks: a made-up program's documents, the same rules in Cedar and in Rego, and what each question
// must be answered. The expected decisions are worked out here, by neither engine.
const kTeams = 40;
const kUsers = 600;
const kQuestions = 2000;

// A small generator of its own, so that every run asks the same.
function numbers(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

export function makeWorld() {
  const next = numbers(20261129);
  const users = Array.from({ length: kUsers }, (_, i) => ({
    name: `u${i}`, disabled: i % 50 === 49, teams: [...new Set([next(kTeams), next(kTeams), next(kTeams)])].map((t) => `t${t}`),
  }));
  const questions = Array.from({ length: kQuestions }, () => {
    const user = users[next(kUsers)];
    // Half of the documents are of a team of theirs.
    const team = next(2) === 0 ? user.teams[next(user.teams.length)] : `t${next(kTeams)}`;
    const properties = { team, visibility: next(4) === 0 ? "public" : "team", classification: next(5) === 0 ? "secret" : "normal" };
    return {
      subject: { type: "user", id: user.name },
      action: { name: ["read", "edit", "list"][next(3)] },
      resource: { type: "Shop::Document", id: `d${next(100000)}`, properties },
      context: { mfa: next(2) === 0 },
    };
  });
  return { users, questions, expected: questions.map((question) => decide(users, question)) };
}

function decide(users, { subject, action, resource, context }) {
  const user = users.find((one) => one.name === subject.id);
  const { team, visibility, classification } = resource.properties;
  if (user.disabled || (classification === "secret" && !context.mfa)) return false;
  if (action.name === "list" && visibility === "public") return true;
  return ["read", "edit"].includes(action.name) && user.teams.includes(team);
}

export function resourcesOf({ users }) {
  const object = (kind, name, spec) => `apiVersion: wary.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec: ${spec}\n`;
  return [
    ...Array.from({ length: kTeams }, (_, i) => object("Group", `t${i}`, "{}")),
    ...users.map((user) => object("User", user.name, `{groups: [${user.teams.join(", ")}], disabled: ${user.disabled}}`)),
  ].join("---\n");
}

export function cedarOf() {
  const teams = Array.from({ length: kTeams }, (_, i) => `@id("team${i}")
permit (principal in Wary::Group::"t${i}", action in [Shop::Action::"read", Shop::Action::"edit"], resource is Shop::Document)
when { context.resource.team == "t${i}" };
`);
  return `${teams.join("\n")}
@id("public")
permit (principal is Wary::User, action == Shop::Action::"list", resource is Shop::Document)
when { context.resource.visibility == "public" };

@id("secret")
forbid (principal, action, resource is Shop::Document)
when { context.resource.classification == "secret" && !context.mfa };
`;
}

export const rego = `package authz

allowed(q) if {
	permitted(q)
	not data.users[q.subject.id].disabled
	not hidden(q)
}

permitted(q) if {
	q.action.name in {"read", "edit"}
	q.resource.properties.team in data.users[q.subject.id].teams
}

permitted(q) if {
	q.action.name == "list"
	q.resource.properties.visibility == "public"
}

hidden(q) if {
	q.resource.properties.classification == "secret"
	not q.context.mfa
}

default allow := false

allow if allowed(input)

decision(q) := true if allowed(q)

decision(q) := false if not allowed(q)

decisions := [decision(q) | some q in input.evaluations]
`;

export const regoData = ({ users }) => ({ users: Object.fromEntries(users.map((user) => [user.name, { teams: user.teams, disabled: user.disabled }])) });

// As each of them is asked: AuthZEN names actions of another program by their Cedar entity.
export const toAuthzen = (question) => ({ ...question, action: { name: `Shop::Action::"${question.action.name}"` } });
