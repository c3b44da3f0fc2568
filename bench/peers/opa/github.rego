# What github's policies.cedar says, the hierarchy of its actions written out. attrs and reach are explained in main.go.
package github

default allow := false

allow if {
	input.action == "Action::read"
	data.reach[input.principal][data.attrs[input.resource].readers]
}

allow if {
	input.action in {"Action::read", "Action::triage"}
	data.reach[input.principal][data.attrs[input.resource].triagers]
}

allow if {
	input.action in {"Action::read", "Action::triage", "Action::write"}
	data.reach[input.principal][data.attrs[input.resource].writers]
}

allow if {
	input.action in {"Action::read", "Action::triage", "Action::write", "Action::maintain"}
	data.reach[input.principal][data.attrs[input.resource].maintainers]
}

allow if {
	input.action in {"Action::read", "Action::triage", "Action::write", "Action::maintain", "Action::admin"}
	data.reach[input.principal][data.attrs[input.resource].admins]
}

allow if {
	input.action == "Action::read"
	data.reach[input.principal][data.attrs[data.attrs[input.resource].owner].readers]
}

allow if {
	input.action in {"Action::read", "Action::triage", "Action::write"}
	data.reach[input.principal][data.attrs[data.attrs[input.resource].owner].writers]
}

allow if {
	input.action in {"Action::read", "Action::triage", "Action::write", "Action::maintain", "Action::admin"}
	data.reach[input.principal][data.attrs[data.attrs[input.resource].owner].admins]
}
