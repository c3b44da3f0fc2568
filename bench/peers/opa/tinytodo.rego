# What tinytodo.cedar says. attrs and reach are explained in main.go.
package tinytodo

default allow := false

allow if {
	input.action in {"Action::CreateList", "Action::GetLists"}
	input.resource == "Application::TinyTodo"
}

allow if data.attrs[input.resource].owner == input.principal

allow if {
	input.action == "Action::GetList"
	data.reach[input.principal][data.attrs[input.resource].readers]
}

allow if {
	input.action == "Action::GetList"
	data.reach[input.principal][data.attrs[input.resource].editors]
}

allow if {
	input.action in {"Action::UpdateList", "Action::CreateTask", "Action::UpdateTask", "Action::DeleteTask"}
	data.reach[input.principal][data.attrs[input.resource].editors]
}
