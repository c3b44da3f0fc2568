# What gdrive's policies.cedar says. attrs and reach are explained in main.go.
package gdrive

default allow := false

allow if {
	input.action == "Action::read"
	data.reach[input.resource][data.attrs[input.principal].documentsAndFoldersWithViewAccess]
}

allow if {
	input.action == "Action::read"
	data.attrs[input.resource].isPublic
}

allow if {
	input.action in {"Action::read", "Action::write", "Action::share"}
	some document, _ in data.attrs[input.principal].ownedDocuments
	data.reach[input.resource][document]
}

allow if {
	input.action in {"Action::read", "Action::write", "Action::share"}
	some folder, _ in data.attrs[input.principal].ownedFolders
	data.reach[input.resource][folder]
}

allow if {
	input.action == "Action::changeOwner"
	data.attrs[input.principal].ownedDocuments[input.resource]
}

allow if {
	input.action == "Action::createDocument"
	data.attrs[input.principal].ownedFolders[input.resource]
}
