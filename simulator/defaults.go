package simulator

// DefaultSchema returns the objects every org starts with: Account, Contact,
// Lead, Opportunity, Case, RecordType, Group, User and Organization. The first five carry the
// custom fields Shop_Id__c, a unique external id without regard to case, and
// Outbox_Key__c, one with.
func DefaultSchema() []Object {
	return []Object{
		{Name: "Account", KeyPrefix: "001", Fields: withKeys(accountFields())},
		{Name: "Contact", KeyPrefix: "003", Fields: withKeys(contactFields())},
		{Name: "Lead", KeyPrefix: "00Q", Fields: withKeys(leadFields())},
		{Name: "Opportunity", KeyPrefix: "006", Fields: withKeys(opportunityFields())},
		{Name: "Case", KeyPrefix: "500", Fields: withKeys(caseFields())},
		{Name: "RecordType", KeyPrefix: "012", Fields: recordTypeFields()},
		{Name: "Group", KeyPrefix: "00G", Fields: groupFields()},
		{Name: "User", KeyPrefix: "005", Fields: userFields()},
		{Name: "Organization", KeyPrefix: "00D", Fields: organizationFields()},
	}
}

func withKeys(fields []Field) []Field {
	return append(fields,
		Field{Name: "Shop_Id__c", Type: "string", Length: 80, ExternalID: true, Unique: true},
		Field{Name: "Outbox_Key__c", Type: "string", Length: 255, ExternalID: true, Unique: true, CaseSensitive: true},
	)
}

func text(name string, length int) Field { return Field{Name: name, Type: "string", Length: length} }

func typed(name, typ string) Field { return Field{Name: name, Type: typ} }

func list(name string, values ...string) Field {
	return Field{Name: name, Type: "picklist", Picklist: values, Unrestricted: true}
}

func lookup(name, relationship string, targets ...string) Field {
	return Field{Name: name, Type: "reference", ReferenceTo: targets, Relationship: relationship}
}

func must(f Field) Field {
	f.Required = true
	return f
}

// address is the parts of a compound address.
func address(prefix string) []Field {
	return []Field{
		{Name: prefix + "Street", Type: "textarea", Length: 255},
		text(prefix+"City", 40),
		text(prefix+"State", 80),
		text(prefix+"PostalCode", 20),
		text(prefix+"Country", 80),
	}
}

func accountFields() []Field {
	return append([]Field{
		must(text("Name", 255)),
		list("Type", "Prospect", "Customer", "Partner", "Other"),
		lookup("ParentId", "Parent", "Account"),
		typed("Phone", "phone"),
		typed("Fax", "phone"),
		text("AccountNumber", 40),
		typed("Website", "url"),
		list("Industry", "Agriculture", "Banking", "Education", "Retail", "Technology", "Other"),
		{Name: "AnnualRevenue", Type: "currency", Precision: 18},
		typed("NumberOfEmployees", "int"),
		{Name: "Description", Type: "textarea", Length: 32_000},
		list("Rating", "Hot", "Warm", "Cold"),
		text("Site", 80),
		list("AccountSource", "Web", "Phone", "Partner", "Other"),
	}, address("Billing")...)
}

func contactFields() []Field {
	return append([]Field{
		text("FirstName", 40),
		must(text("LastName", 80)),
		text("Salutation", 40),
		{Name: "Name", Type: "string", Length: 121, ReadOnly: true},
		lookup("AccountId", "Account", "Account"),
		lookup("ReportsToId", "ReportsTo", "Contact"),
		typed("Email", "email"),
		typed("Phone", "phone"),
		typed("MobilePhone", "phone"),
		text("Title", 128),
		text("Department", 80),
		typed("Birthdate", "date"),
		list("LeadSource", "Web", "Phone", "Partner", "Other"),
		{Name: "Description", Type: "textarea", Length: 32_000},
		typed("HasOptedOutOfEmail", "boolean"),
		typed("DoNotCall", "boolean"),
		{Name: "Tier__c", Type: "picklist", Picklist: []string{"Gold", "Silver", "Bronze"}},
		{Name: "Score__c", Type: "double", Precision: 18, Scale: 2},
		{Name: "Notes__c", Type: "textarea", Length: 32_768},
		typed("Last_Seen__c", "datetime"),
	}, address("Mailing")...)
}

func leadFields() []Field {
	return []Field{
		lookup("OwnerId", "Owner", "Group", "User"),
		text("FirstName", 40),
		must(text("LastName", 80)),
		must(text("Company", 255)),
		text("Title", 128),
		typed("Email", "email"),
		typed("Phone", "phone"),
		typed("MobilePhone", "phone"),
		typed("Website", "url"),
		list("LeadSource", "Web", "Phone", "Partner", "Other"),
		list("Status", "Open", "Working", "Closed"),
		list("Industry", "Agriculture", "Banking", "Education", "Retail", "Technology", "Other"),
		list("Rating", "Hot", "Warm", "Cold"),
		{Name: "AnnualRevenue", Type: "currency", Precision: 18},
		typed("NumberOfEmployees", "int"),
		{Name: "Description", Type: "textarea", Length: 32_000},
		{Name: "Street", Type: "textarea", Length: 255},
		text("City", 40),
		text("State", 80),
		text("PostalCode", 20),
		text("Country", 80),
		{Name: "IsConverted", Type: "boolean", ReadOnly: true},
	}
}

func opportunityFields() []Field {
	stage := list("StageName", "Prospecting", "Qualification", "Proposal", "Closed Won", "Closed Lost")
	return []Field{
		must(text("Name", 120)),
		lookup("AccountId", "Account", "Account"),
		must(stage),
		must(typed("CloseDate", "date")),
		{Name: "Amount", Type: "currency", Precision: 18, Scale: 2},
		{Name: "Probability", Type: "percent", Precision: 3},
		list("Type", "New Business", "Existing Business"),
		text("NextStep", 255),
		list("LeadSource", "Web", "Phone", "Partner", "Other"),
		{Name: "Description", Type: "textarea", Length: 32_000},
	}
}

func caseFields() []Field {
	return []Field{
		lookup("OwnerId", "Owner", "Group", "User"),
		lookup("AccountId", "Account", "Account"),
		lookup("ContactId", "Contact", "Contact"),
		lookup("ParentId", "Parent", "Case"),
		text("Subject", 255),
		{Name: "Description", Type: "textarea", Length: 32_000},
		list("Status", "New", "Working", "Escalated", "Closed"),
		list("Origin", "Phone", "Email", "Web"),
		list("Priority", "High", "Medium", "Low"),
		list("Reason", "Installation", "Performance", "Breakdown", "Other"),
		list("Type", "Problem", "Question", "Other"),
		text("SuppliedName", 80),
		typed("SuppliedEmail", "email"),
	}
}

func recordTypeFields() []Field {
	return []Field{
		{Name: "Name", Type: "string", Length: 80, ReadOnly: true},
		{Name: "DeveloperName", Type: "string", Length: 80, ReadOnly: true},
		{Name: "SobjectType", Type: "picklist", ReadOnly: true},
		{Name: "IsActive", Type: "boolean", ReadOnly: true},
	}
}

// groupFields are those of public groups and queues, which may own leads and cases.
func groupFields() []Field {
	return []Field{
		must(text("Name", 40)),
		text("DeveloperName", 80),
		list("Type", "Regular", "Queue"),
		typed("Email", "email"),
	}
}

func userFields() []Field {
	return []Field{
		{Name: "Username", Type: "email", Unique: true, Required: true},
		must(text("LastName", 80)),
		text("FirstName", 40),
		{Name: "Name", Type: "string", Length: 121, ReadOnly: true},
		typed("Email", "email"),
		text("Alias", 8),
		typed("IsActive", "boolean"),
		text("FederationIdentifier", 255),
	}
}

func organizationFields() []Field {
	return []Field{
		text("Name", 80),
		text("InstanceName", 5),
		typed("IsSandbox", "boolean"),
		text("OrganizationType", 40),
	}
}
